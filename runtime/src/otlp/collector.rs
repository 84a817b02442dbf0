//! The collector, at the other end of a connection.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::encode::rejected;
use super::settings::OtlpSettings;

/// How long a request may take, as OpenTelemetry's exporters have it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The port of OTLP over gRPC, which people take for the one over HTTP.
const GRPC_PORT: u16 = 4317;

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    http: Client,
    url: Url,
    headers: HeaderMap,
    shown: String,
}

/// Why a request was not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    /// It may be taken in a moment.
    pub(super) is_passing: bool,
}

impl Collector {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn new(settings: OtlpSettings) -> Result<Self, String> {
        let shown = settings.shown();
        let is_secure = settings.url.scheme() == "https";
        let mut client = lambent_images::http::client(is_secure)?
            .timeout(TIMEOUT)
            .redirect(Policy::none());
        if settings
            .url
            .host_str()
            .is_some_and(lambent_images::http::is_loopback)
        {
            // A proxy for the outside world cannot reach what is on this machine.
            client = client.no_proxy();
        }
        let http = client.build().map_err(lambent_images::http::causes)?;
        let mut headers = settings.headers;
        let kind = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, kind);
        Ok(Self {
            http,
            url: settings.url,
            headers,
            shown,
        })
    }

    /// Where it is.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Delivers a request: how many of its spans were not taken, and why.
    ///
    /// # Errors
    /// None was taken.
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<Option<(u64, String)>, Refused> {
        let request = self.http.post(self.url.clone());
        let request = request.headers(self.headers.clone()).body(body);
        let response = request.send().await.map_err(|error| Refused {
            reason: format!("{}{}", lambent_images::http::causes(error), self.hint()),
            is_passing: true,
        })?;
        let status = response.status();
        let answer = read(response).await;
        if status.is_success() {
            return Ok(rejected(&answer));
        }
        Err(Refused {
            reason: format!("it answers {status}{}", self.hint()),
            is_passing: is_passing(status),
        })
    }

    /// What may be wrong with the address.
    fn hint(&self) -> &'static str {
        if self.url.port() == Some(GRPC_PORT) {
            " (port 4317 is that of gRPC; OTLP over HTTP has 4318)"
        } else {
            ""
        }
    }
}

/// What OTLP says may be tried again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// An answer, or as much of it as matters.
async fn read(mut response: Response) -> Vec<u8> {
    let mut bytes = vec![];
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ANSWER_BYTES - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    bytes
}
