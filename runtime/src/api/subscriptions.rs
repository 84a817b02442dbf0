//! Telemetry API 2022-07-01 and Logs API 2020-08-15: one request each, by which an
//! extension subscribes.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::ApiError;
use super::extensions::{self, ExtensionRequest, SubscribeRefusal};
use super::respond::{error_body, json};
use super::runtime::ApiCall;
use crate::telemetry::{Api, parse_subscription};

/// Whose subscriptions are made by such a request, if any's.
pub(super) fn api(method: &Method, path: &str) -> Option<Api> {
    if method != Method::PUT {
        return None;
    }
    match path.strip_suffix('/').unwrap_or(path) {
        "/2022-07-01/telemetry" => Some(Api::Telemetry),
        "/2020-08-15/logs" => Some(Api::Logs),
        _ => None,
    }
}

/// Answers one request.
pub(super) async fn handle(
    calls: &mpsc::Sender<ApiCall>,
    api: Api,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Response<Full<Bytes>> {
    match subscribe(calls, api, headers, body).await {
        // A JSON text, as AWS's own code has it.
        Ok(Ok(())) => json(StatusCode::OK, "\"OK\"".to_owned()),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => json(error.status(), error.body()),
    }
}

async fn subscribe(
    calls: &mpsc::Sender<ApiCall>,
    api: Api,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Result<(), SubscribeRefusal>, ApiError> {
    let body = extensions::read(body).await;
    let (identifier, body) = match (extensions::identifier(headers), body) {
        (Ok(identifier), Ok(body)) => (identifier, body),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error.into())),
    };
    let (sender, answer) = oneshot::channel();
    let subscription = parse_subscription(api, &body);
    let call = ExtensionRequest::Subscribe(identifier, subscription, sender);
    let call = calls.send(ApiCall::Extension(call)).await;
    call.map_err(|_| ApiError::Gone)?;
    answer.await.map_err(|_| ApiError::Gone)
}

fn refused(refusal: &SubscribeRefusal) -> Response<Full<Bytes>> {
    match refusal {
        SubscribeRefusal::Extension(error) => json(
            StatusCode::FORBIDDEN,
            error_body(&error.to_string(), error.error_type()),
        ),
        SubscribeRefusal::Subscription(error) => json(
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            error_body(&error.to_string(), error.error_type()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        for (method, path, expected) in [
            (Method::PUT, "/2022-07-01/telemetry", Some(Api::Telemetry)),
            (Method::PUT, "/2022-07-01/telemetry/", Some(Api::Telemetry)),
            (Method::PUT, "/2020-08-15/logs", Some(Api::Logs)),
            (Method::POST, "/2022-07-01/telemetry", None),
            (Method::PUT, "/2022-07-01/logs", None),
            (Method::PUT, "/2020-08-15/telemetry", None),
            (Method::PUT, "/", None),
        ] {
            assert_eq!(api(&method, path), expected, "{method} {path}");
        }
    }
}
