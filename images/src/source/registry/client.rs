//! Requests to one registry about one image.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use rustls::CertificateError;

use super::auth::Authorization;
use super::credentials::CredentialFiles;
use super::retry::{BodyError, Pace, RETRY_AFTER_MAX, pause};
use super::{DOCUMENTS, Settings, refusal, tls, unreachable};
use crate::error::{Error, Result};
use crate::reference::RegistryReference;

/// Most redirects that are followed for one request.
const REDIRECTS_MAX: usize = 10;
/// Most times that one request is answered with new credentials.
const LOGINS_MAX: usize = 2;

pub(super) struct Client {
    http: reqwest::Client,
    reference: RegistryReference,
    base: Url,
    loopback: bool,
    authorization: Authorization,
    settings: Settings,
    /// True once the registry has answered: failures may then be passing ones.
    reached: AtomicBool,
}

impl Client {
    /// Finds out how to speak to the registry, which for hosts on this machine
    /// may be without TLS, as for Docker.
    pub(super) async fn connect(
        reference: RegistryReference,
        credentials: CredentialFiles,
        settings: Settings,
    ) -> Result<Self> {
        let host = match reference.host.as_str() {
            "docker.io" => "registry-1.docker.io".to_owned(),
            host => host.to_owned(),
        };
        let address = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|error| unreachable(&host, error))
        };
        let loopback = is_loopback(reference.host_name());
        let mut client = Self {
            http: build(&reference.host, loopback, &settings)?,
            base: address("https")?,
            loopback,
            authorization: Authorization::new(credentials),
            settings,
            reached: AtomicBool::new(false),
            reference,
        };
        if loopback {
            let probe = client.http.get(client.base.clone()).send();
            let answered = tokio::time::timeout(client.settings.connect, probe).await;
            match answered {
                // TLS with a certificate that is not trusted is still TLS.
                Ok(Err(error)) if certificate_error(&error).is_none() => {
                    client.base = address("http")?;
                }
                _ => {}
            }
        }
        Ok(client)
    }

    pub(super) fn reference(&self) -> &RegistryReference {
        &self.reference
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.loopback
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks for a manifest or index.
    pub(super) async fn manifest(&self, path: &str) -> Result<Response> {
        let accept = DOCUMENTS.join(", ");
        self.get(path, |request| request.header(ACCEPT, &accept))
            .await
    }

    /// Asks for a blob, or for bytes `first` to `last` of it. The answer may be
    /// the whole blob all the same, or that there are no such bytes.
    pub(super) async fn blob(&self, path: &str, range: Option<(u64, u64)>) -> Result<Response> {
        self.get(path, |request| match range {
            Some((first, last)) => request.header(RANGE, format!("bytes={first}-{last}")),
            None => request,
        })
        .await
    }

    async fn get(
        &self,
        path: &str,
        adapt: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let host = &self.reference.host;
        let address = format!("{}{}/{path}", self.base, self.reference.repository);
        let address = Url::parse(&address).map_err(|error| unreachable(host, error))?;
        for _ in 0..=LOGINS_MAX {
            let header = self.authorization.header().await;
            let response = self
                .send(host, |http| {
                    let request = adapt(http.get(address.clone()));
                    match &header {
                        Some(header) => request.header(AUTHORIZATION, header.clone()),
                        None => request,
                    }
                })
                .await?;
            let status = response.status();
            let here = response.url().origin() == self.base.origin();
            if status == StatusCode::UNAUTHORIZED && here {
                self.authorization
                    .answer(self, response.headers(), header.as_ref())
                    .await?;
            } else if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(response);
            } else {
                return Err(refusal::explain(self, response, path, here).await);
            }
        }
        Err(self.authorization.denied(self, "").await)
    }

    /// The error for an answer of 403.
    pub(super) async fn denied(&self, details: &str) -> Error {
        self.authorization.denied(self, details).await
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
                        || certificate_error(&error).is_some();
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
                    let details = refusal::details(self, response).await;
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

/// True for a host on this machine; brackets of IPv6 addresses are optional.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = bare.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
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

/// What is wrong with the server's certificate, if that is what went wrong.
pub(super) fn certificate_error(error: &reqwest::Error) -> Option<CertificateError> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = next {
        // Errors in boxes of other errors, which their `source` passes over.
        let mut inner = error;
        while let Some(wrapped) = inner.downcast_ref::<std::io::Error>()
            && let Some(unwrapped) = wrapped.get_ref()
        {
            inner = unwrapped;
        }
        if let Some(rustls::Error::InvalidCertificate(why)) = inner.downcast_ref() {
            return Some(why.clone());
        }
        next = error.source();
    }
    None
}
