//! Requests to one registry and to its token server, until there is an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{RequestBuilder, Response, StatusCode};

use super::super::http::is_loopback;
use super::retry::{BodyError, Pace, RETRY_AFTER_MAX, pause};
use super::{Settings, refusal, tls, unreachable};
use crate::error::Result;

/// Most redirects that are followed for one request.
const REDIRECTS_MAX: usize = 10;

/// A connection that tries again; it knows nothing of credentials.
pub(super) struct Transport {
    http: reqwest::Client,
    loopback: bool,
    settings: Settings,
    /// True once the registry has answered: failures may then be passing ones.
    reached: AtomicBool,
}

impl Transport {
    /// For a registry on this machine if `loopback`.
    pub(super) fn new(host: &str, loopback: bool, settings: Settings) -> Result<Self> {
        Ok(Self {
            http: build(host, loopback, &settings)?,
            loopback,
            settings,
            reached: AtomicBool::new(false),
        })
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.loopback
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request until there is an answer that trying again would not change.
    pub(super) async fn send(
        &self,
        host: &str,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response> {
        let mut failures = 0;
        loop {
            let sending = request(&self.http).send();
            let sent = tokio::time::timeout(self.settings.stall, sending).await;
            failures += 1;
            let (why, wait) = match sent {
                Err(_) => {
                    let seconds = self.settings.stall.as_secs();
                    (format!("no answer for {seconds} seconds"), None)
                }
                Ok(Err(error)) => {
                    let fatal = error.is_redirect()
                        || error.is_builder()
                        || refusal::certificate_error(&error).is_some();
                    let why = refusal::transport(host, error);
                    if fatal || !self.reached.load(Ordering::Relaxed) && failures >= 2 {
                        return Err(unreachable(host, why));
                    }
                    (why, None)
                }
                Ok(Ok(response)) => {
                    self.reached.store(true, Ordering::Relaxed);
                    let status = response.status();
                    if !is_passing(status) {
                        return Ok(response);
                    }
                    let wait = retry_after(response.headers());
                    let details = self.details(response).await;
                    if wait.is_some_and(|wait| wait > RETRY_AFTER_MAX) {
                        let why = format!("{details}; it asks to be left alone for a while");
                        return Err(unreachable(host, why));
                    }
                    (details, wait)
                }
            };
            if failures >= self.settings.tries {
                return Err(unreachable(host, format!("{why} ({failures} tries)")));
            }
            let wait = wait.unwrap_or_else(|| pause(&self.settings, failures));
            tracing::debug!(host, why, ?wait, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// The whole body, unless it is larger than `limit` bytes.
    pub(super) async fn body(&self, mut response: Response, limit: u64) -> Result<Option<Vec<u8>>> {
        let host = response.url().host_str().unwrap_or_default().to_owned();
        let mut pace = Pace::new(&self.settings);
        let mut bytes = Vec::new();
        loop {
            match pace.chunk(&mut response).await {
                Ok(Some(chunk)) if bytes.len() as u64 + chunk.len() as u64 > limit => {
                    return Ok(None);
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(Some(bytes)),
                Err(error) => return Err(unreachable(&host, self.body_error(&host, error))),
            }
        }
    }

    /// The next part of a body, for those who keep the pace themselves.
    pub(super) async fn chunk(
        &self,
        response: &mut Response,
        pace: &mut Pace,
    ) -> std::result::Result<Option<Bytes>, String> {
        let host = response.url().host_str().unwrap_or_default().to_owned();
        let chunk = pace.chunk(response).await;
        chunk.map_err(|error| self.body_error(&host, error))
    }

    fn body_error(&self, host: &str, error: BodyError) -> String {
        match error {
            BodyError::Stalled => format!(
                "less than {} bytes came in {} seconds",
                self.settings.progress,
                self.settings.stall.as_secs()
            ),
            BodyError::Broken(error) => refusal::transport(host, error),
        }
    }

    /// The status of an answer that is none, and the registry's own words.
    pub(super) async fn details(&self, response: Response) -> String {
        let status = response.status();
        let body = self.body(response, refusal::BODY_MAX).await;
        refusal::details(status, body.ok().flatten().as_deref())
    }
}

fn build(host: &str, loopback: bool, settings: &Settings) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(host, &settings.certificates)?)
        .user_agent(concat!("lambent/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect)
        .redirect(Policy::custom(move |attempt| follow(attempt, loopback)))
        .referer(false);
    if loopback {
        // A proxy for the outside world cannot reach what is on this machine.
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| unreachable(host, refusal::transport(host, error)))
}

/// Follows redirects, but not away from TLS. The client library leaves the
/// credentials behind when host, port or scheme change.
fn follow(attempt: Attempt<'_>, loopback: bool) -> reqwest::redirect::Action {
    let secure = attempt.url().scheme() == "https";
    let local = loopback && attempt.url().host_str().is_some_and(is_loopback);
    if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("there are too many redirects")
    } else if !secure && !local {
        attempt.error("it redirects to an address without TLS, which is not followed")
    } else {
        attempt.follow()
    }
}

/// The value of a header, if it is readable text.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// True for an answer that may be another one in a moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = header(headers, RETRY_AFTER.as_str())?;
    // A number too large to read is a very long time; a date is not looked at.
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
}
