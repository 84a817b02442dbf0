//! Runtime API 2018-06-01: from an HTTP request to a call on the environment,
//! and from its answer to an HTTP response.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response};
use tokio::sync::{mpsc, oneshot};

use super::ApiError;
use super::extensions::ExtensionRequest;
use super::respond::{accepted, json, plain, text};
use super::stream::{self, Content, ResponsePart};
use crate::model::{ClientContext, CognitoIdentity, MAX_RESPONSE_BYTES, RequestId, RuntimeCall};

/// An event as the runtime gets it.
#[derive(Debug)]
pub(crate) struct NextEvent {
    pub(crate) request_id: RequestId,
    /// Differs between attempts at the same request.
    pub(crate) invocation_id: String,
    pub(crate) deadline: SystemTime,
    pub(crate) function_arn: String,
    pub(crate) trace_id: String,
    pub(crate) client_context: Option<ClientContext>,
    pub(crate) cognito_identity: Option<CognitoIdentity>,
    pub(crate) payload: Bytes,
}

/// What a runtime posts, apart from its body.
#[derive(Debug)]
pub(crate) struct Posting {
    pub(crate) call: RuntimeCall,
    /// The request id in the path; none for `init/error`.
    pub(crate) request_id: Option<String>,
    /// `Lambda-Runtime-Invocation-Id`, where the client echoes it.
    pub(crate) invocation_id: Option<String>,
    /// `Lambda-Runtime-Function-Error-Type`.
    pub(crate) error_type: Option<String>,
    /// The runtime asks for the response to be streamed.
    pub(crate) streaming: bool,
}

type Answer<T> = oneshot::Sender<Result<T, ApiError>>;

/// A call on the environment, with where the answer goes.
#[derive(Debug)]
pub(crate) enum ApiCall {
    Next(Answer<Arc<NextEvent>>),
    /// A posting begins: is it allowed, and who gets its parts as they come?
    Begin(Posting, Answer<Option<mpsc::Sender<ResponsePart>>>),
    /// What came of the posting that was allowed, or why nothing did.
    Finish(Result<Content, ApiError>, Answer<()>),
    /// What an extension asks.
    Extension(ExtensionRequest),
}

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const INVOCATION_ID: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const COGNITO_IDENTITY: HeaderName = HeaderName::from_static("lambda-runtime-cognito-identity");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");

/// Answers one request.
pub(super) async fn handle(
    calls: &mpsc::Sender<ApiCall>,
    head: &Parts,
    body: &mut Incoming,
) -> Response<Full<Bytes>> {
    let answer = match route(&head.method, head.uri.path()) {
        Some(Route::Ping) => return plain("pong"),
        Some(Route::Next) => next(calls).await,
        Some(Route::Post(call, request_id)) => {
            post(calls, call, request_id, &head.headers, body).await
        }
        None => Err(ApiError::NotFound),
    };
    answer.unwrap_or_else(refusal)
}

#[derive(Debug, PartialEq, Eq)]
enum Route {
    Ping,
    Next,
    Post(RuntimeCall, Option<String>),
}

fn route(method: &Method, path: &str) -> Option<Route> {
    let path = path.strip_prefix("/2018-06-01/")?;
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        (&Method::GET, ["ping"]) => Some(Route::Ping),
        (&Method::GET, ["runtime", "invocation", "next"]) => Some(Route::Next),
        (&Method::POST, ["runtime", "init", "error"]) => {
            Some(Route::Post(RuntimeCall::InitError, None))
        }
        (&Method::POST, ["runtime", "invocation", id, "response"]) => {
            Some(Route::Post(RuntimeCall::Response, Some((*id).to_owned())))
        }
        (&Method::POST, ["runtime", "invocation", id, "error"]) => {
            Some(Route::Post(RuntimeCall::Error, Some((*id).to_owned())))
        }
        _ => None,
    }
}

async fn next(calls: &mpsc::Sender<ApiCall>) -> Result<Response<Full<Bytes>>, ApiError> {
    let event = ask(calls, ApiCall::Next).await?;
    Ok(event_response(&event))
}

async fn post(
    calls: &mpsc::Sender<ApiCall>,
    call: RuntimeCall,
    request_id: Option<String>,
    headers: &HeaderMap,
    content: &mut Incoming,
) -> Result<Response<Full<Bytes>>, ApiError> {
    let mode = text(headers, &RESPONSE_MODE);
    let posting = Posting {
        call,
        request_id,
        invocation_id: text(headers, &INVOCATION_ID),
        error_type: text(headers, &ERROR_TYPE),
        streaming: mode.as_deref() == Some("streaming"),
    };
    let content_type = text(headers, &CONTENT_TYPE);
    let parts = ask(calls, |answer| ApiCall::Begin(posting, answer)).await?;
    if let Some(parts) = &parts {
        // Whoever has gone does not need to know.
        let _ = parts.send(ResponsePart::Begin(content_type)).await;
    }
    let unfinished = Unfinished { calls: Some(calls) };
    let body = if mode.is_some_and(|mode| mode != "streaming") {
        Err(ApiError::InvalidResponseMode)
    } else {
        read_body(content, parts).await
    };
    let refused = body.as_ref().err().copied();
    unfinished.disarm();
    ask(calls, |answer| ApiCall::Finish(body, answer)).await?;
    refused.map_or_else(|| Ok(accepted()), Err)
}

/// A posting that has begun. A connection that breaks drops its handler wherever it
/// is; the environment must not wait for the rest.
struct Unfinished<'a> {
    calls: Option<&'a mpsc::Sender<ApiCall>>,
}

impl Unfinished<'_> {
    fn disarm(mut self) {
        self.calls = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(calls) = self.calls {
            // Nobody waits for the answer. If the queue is full or closed, the
            // time-out ends the invocation.
            let (answer, _) = oneshot::channel();
            let _ = calls.try_send(ApiCall::Finish(Err(ApiError::Truncated), answer));
        }
    }
}

async fn read_body(
    body: &mut Incoming,
    parts: Option<mpsc::Sender<ResponsePart>>,
) -> Result<Content, ApiError> {
    // An announced length is refused before a byte of it is read.
    if parts.is_none() && body.size_hint().lower() > MAX_RESPONSE_BYTES as u64 {
        return Err(ApiError::TooLarge);
    }
    stream::read(body, parts).await
}

/// Puts a call to the environment. One that does not answer is gone.
async fn ask<T>(
    calls: &mpsc::Sender<ApiCall>,
    call: impl FnOnce(Answer<T>) -> ApiCall,
) -> Result<T, ApiError> {
    let (sender, answer) = oneshot::channel();
    calls.send(call(sender)).await.map_err(|_| ApiError::Gone)?;
    answer.await.unwrap_or(Err(ApiError::Gone))
}

fn event_response(event: &NextEvent) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(event.payload.clone()));
    let headers = response.headers_mut();
    let deadline_ms = event
        .deadline
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [
        (REQUEST_ID, event.request_id.to_string()),
        (INVOCATION_ID, event.invocation_id.clone()),
        (DEADLINE_MS, deadline_ms.to_string()),
        (FUNCTION_ARN, event.function_arn.clone()),
        (TRACE_ID, event.trace_id.clone()),
    ] {
        insert(headers, name, value);
    }
    if let Some(context) = &event.client_context {
        insert(headers, CLIENT_CONTEXT, context.as_str().to_owned());
    }
    if let Some(identity) = &event.cognito_identity
        && let Ok(identity) = serde_json::to_string(identity)
    {
        insert(headers, COGNITO_IDENTITY, identity);
    }
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // Our own values are ASCII, and JSON on one line is a header value.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn refusal(error: ApiError) -> Response<Full<Bytes>> {
    json(error.status(), error.body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let id = Some("8476a536".to_owned());
        for (method, path, expected) in [
            (Method::GET, "/2018-06-01/ping", Some(Route::Ping)),
            (
                Method::GET,
                "/2018-06-01/runtime/invocation/next",
                Some(Route::Next),
            ),
            (
                Method::POST,
                "/2018-06-01/runtime/invocation/8476a536/response",
                Some(Route::Post(RuntimeCall::Response, id.clone())),
            ),
            (
                Method::POST,
                "/2018-06-01/runtime/invocation/8476a536/error",
                Some(Route::Post(RuntimeCall::Error, id)),
            ),
            (
                Method::POST,
                "/2018-06-01/runtime/init/error",
                Some(Route::Post(RuntimeCall::InitError, None)),
            ),
            (Method::POST, "/2018-06-01/runtime/invocation/next", None),
            (Method::GET, "/2018-06-01/runtime/invocation/next/", None),
            (Method::GET, "//2018-06-01/runtime/invocation/next", None),
            (Method::GET, "/2018-06-01/runtime/invocation/../next", None),
            (Method::GET, "/", None),
        ] {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
