//! HTTP requests as events of functions, and what functions return as HTTP responses,
//! for function URLs and APIs alike. Pure.
//!
//! | file | what |
//! |---|---|
//! | `version2.rs` | payload format 2.0: function URLs and HTTP APIs |
//! | `version1.rs` | payload format 1.0: REST APIs, and HTTP APIs that want it |
//! | `answer.rs` | responses of both |

pub(super) mod answer;
pub(crate) mod version1;
pub(crate) mod version2;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Version};

/// What is known of a request beside its head and body.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    /// Of the function.
    pub(crate) account: &'a str,
    /// The first label of the host name.
    pub(crate) api_id: &'a str,
    /// The host name.
    pub(crate) host: &'a str,
    pub(crate) source_ip: String,
    pub(crate) request_id: String,
    pub(crate) trace_id: &'a str,
    pub(crate) at: DateTime<Utc>,
    /// Which route was taken, such as `GET /pets/{id}`.
    pub(crate) route_key: &'a str,
    /// Of the route's path, decoded.
    pub(crate) parameters: &'a [(String, String)],
}

impl Circumstances<'_> {
    /// The port that the client has called.
    fn port(&self) -> &str {
        self.host.rsplit_once(':').map_or("80", |(_, port)| port)
    }
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    /// As it was written, escapes and all.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) version: Version,
    pub(crate) headers: &'a HeaderMap,
}

/// A body as an event has it: its text, or base64, and which of them. Nothing for an
/// empty one.
fn body_of(headers: &HeaderMap, body: &[u8]) -> (Option<String>, bool) {
    let text = std::str::from_utf8(body).ok().filter(|_| is_text(headers));
    match text {
        _ if body.is_empty() => (None, false),
        Some(text) => (Some(text.to_owned()), false),
        None => (Some(BASE64_STANDARD.encode(body)), true),
    }
}

fn decoded(text: &str) -> String {
    let spaces = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaces)
        .decode_utf8_lossy()
        .into_owned()
}

fn text(value: Option<&hyper::header::HeaderValue>) -> String {
    value.map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    })
}

/// Which bodies are passed on as text.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = text(headers.get(CONTENT_TYPE)).to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.is_empty()
        || kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/x-www-form-urlencoded"
                | "application/graphql"
        )
}
