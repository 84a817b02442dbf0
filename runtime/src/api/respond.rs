//! Answers that both interfaces give, and what both read from requests.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

/// The text of a header, if it is there and text.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

pub(super) fn plain(text: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
}

/// What Lambda says to whatever is posted.
pub(super) fn accepted() -> Response<Full<Bytes>> {
    json(StatusCode::ACCEPTED, "{\"status\":\"OK\"}\n".to_owned())
}

pub(super) fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Lambda's form of a refusal.
pub(super) fn error_body(message: &str, error_type: &str) -> String {
    let message = serde_json::Value::from(message);
    format!("{{\"errorMessage\":{message},\"errorType\":\"{error_type}\"}}\n")
}
