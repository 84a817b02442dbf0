//! Extensions API 2020-01-01: from an HTTP request to a call on the environment,
//! and from its answer to an HTTP response.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::ApiError;
use super::respond::{accepted, error_body, json, text};
use super::runtime::ApiCall;
use crate::model::{
    ACCOUNT_ID, ExtensionError, ReportedFault, RequestId, ShutdownReason,
    parse_extension_identifier,
};
use crate::telemetry::{Subscription, SubscriptionError};

type Answer<T> = oneshot::Sender<Result<T, ExtensionError>>;

/// A call of an extension on the environment, with where the answer goes.
#[derive(Debug)]
pub(crate) enum ExtensionRequest {
    /// `register`: a name, and the events in the words of the extension.
    Register(String, Vec<String>, Answer<Registered>),
    /// `event/next`.
    Next(Uuid, Answer<EventForExtension>),
    /// A subscription to the Telemetry API or the Logs API: as it was asked for, or
    /// why its request is none.
    Subscribe(
        Uuid,
        Result<Subscription, SubscriptionError>,
        oneshot::Sender<Result<(), SubscribeRefusal>>,
    ),
    /// `init/error` or `exit/error`, with its type.
    Report(ReportedFault, Uuid, Option<String>, Answer<()>),
}

/// The answer to a registration.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) identifier: Uuid,
    pub(crate) function_name: String,
    pub(crate) function_version: String,
    pub(crate) handler: String,
}

/// An event as extensions get it.
#[derive(Debug, Clone)]
pub(crate) enum EventForExtension {
    Invoke {
        deadline: SystemTime,
        request_id: RequestId,
        function_arn: String,
        trace_id: String,
    },
    Shutdown {
        deadline: SystemTime,
        reason: ShutdownReason,
    },
}

/// Why a subscription was not accepted.
#[derive(Debug)]
pub(crate) enum SubscribeRefusal {
    /// By somebody who is no extension.
    Extension(ExtensionError),
    Subscription(SubscriptionError),
}

impl From<ExtensionError> for SubscribeRefusal {
    fn from(error: ExtensionError) -> Self {
        Self::Extension(error)
    }
}

impl From<SubscriptionError> for SubscribeRefusal {
    fn from(error: SubscriptionError) -> Self {
        Self::Subscription(error)
    }
}

const NAME: HeaderName = HeaderName::from_static("lambda-extension-name");
const IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-identifier");
const EVENT_IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-event-identifier");
const ACCEPT_FEATURE: HeaderName = HeaderName::from_static("lambda-extension-accept-feature");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-extension-function-error-type");

/// The one feature that can be asked for.
const ACCOUNT_ID_FEATURE: &str = "accountId";

/// Where this version of the interface is.
pub(super) const PREFIX: &str = "/2020-01-01/";

/// Bytes of a body that are read.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Why a call was not answered as asked.
enum Refusal {
    Extension(ExtensionError),
    Api(ApiError),
}

/// Answers one request.
pub(super) async fn handle(
    calls: &mpsc::Sender<ApiCall>,
    head: &Parts,
    body: &mut Incoming,
) -> Response<Full<Bytes>> {
    let answer = match route(&head.method, head.uri.path()) {
        Some(Route::Register) => register(calls, &head.headers, body).await,
        Some(Route::Next) => next(calls, &head.headers).await,
        Some(Route::Report(fault)) => report(calls, &head.headers, body, fault).await,
        None => Err(Refusal::Api(ApiError::NotFound)),
    };
    answer.unwrap_or_else(|refusal| match refusal {
        Refusal::Extension(error) => json(
            StatusCode::FORBIDDEN,
            error_body(&error.to_string(), error.error_type()),
        ),
        Refusal::Api(error) => json(error.status(), error.body()),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Route {
    Register,
    Next,
    Report(ReportedFault),
}

fn route(method: &Method, path: &str) -> Option<Route> {
    match (method, path.strip_prefix(PREFIX)?) {
        (&Method::POST, "extension/register") => Some(Route::Register),
        (&Method::GET, "extension/event/next") => Some(Route::Next),
        (&Method::POST, "extension/init/error") => Some(Route::Report(ReportedFault::Init)),
        (&Method::POST, "extension/exit/error") => Some(Route::Report(ReportedFault::Exit)),
        _ => None,
    }
}

/// The body of a registration. What else is in it does not matter, but for one
/// member that was once more than that.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Registration {
    events: Option<Vec<String>>,
    configuration_keys: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    function_name: &'a str,
    function_version: &'a str,
    handler: &'a str,
}

async fn register(
    calls: &mpsc::Sender<ApiCall>,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let name = text(headers, &NAME).unwrap_or_default();
    let body = read(body).await;
    if name.is_empty() {
        return Err(ExtensionError::EmptyName.into());
    }
    let events = parse_registration(&body?)?;
    let registered = ask(calls, |answer| {
        ExtensionRequest::Register(name, events, answer)
    })
    .await?;
    let wants_account = text(headers, &ACCEPT_FEATURE).is_some_and(|features| {
        features
            .split(',')
            .any(|one| one.trim() == ACCOUNT_ID_FEATURE)
    });
    let mut response = as_json(&RegistrationAnswer {
        account_id: wants_account.then_some(ACCOUNT_ID),
        function_name: &registered.function_name,
        function_version: &registered.function_version,
        handler: &registered.handler,
    });
    insert(&mut response, IDENTIFIER, registered.identifier);
    Ok(response)
}

fn parse_registration(body: &[u8]) -> Result<Vec<String>, ExtensionError> {
    let registration: Registration = serde_json::from_slice(body)
        .map_err(|error| ExtensionError::InvalidRequest(error.to_string()))?;
    match registration.configuration_keys {
        Some(keys) if !keys.is_empty() => Err(ExtensionError::InvalidRequest(
            "configurationKeys are deprecated; use environment variables instead".to_owned(),
        )),
        _ => Ok(registration.events.unwrap_or_default()),
    }
}

async fn next(
    calls: &mpsc::Sender<ApiCall>,
    headers: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let identifier = identifier(headers)?;
    let event = ask(calls, |answer| ExtensionRequest::Next(identifier, answer)).await?;
    let mut response = render(&event);
    insert(&mut response, EVENT_IDENTIFIER, Uuid::new_v4());
    Ok(response)
}

async fn report(
    calls: &mpsc::Sender<ApiCall>,
    headers: &HeaderMap,
    body: &mut Incoming,
    fault: ReportedFault,
) -> Result<Response<Full<Bytes>>, Refusal> {
    // What it says is the extension's; Lambda passes on only the type.
    let _ = read(body).await;
    let identifier = identifier(headers)?;
    let error_type = text(headers, &ERROR_TYPE);
    ask(calls, |answer| {
        ExtensionRequest::Report(fault, identifier, error_type, answer)
    })
    .await?;
    Ok(accepted())
}

pub(super) fn identifier(headers: &HeaderMap) -> Result<Uuid, ExtensionError> {
    parse_extension_identifier(text(headers, &IDENTIFIER).as_deref())
}

pub(super) async fn read(body: &mut Incoming) -> Result<Bytes, ExtensionError> {
    let body = crate::body::read(body, MAX_BODY_BYTES).await;
    body.map_err(|error| ExtensionError::InvalidRequest(error.to_string()))
}

/// Puts a call to the environment. One that does not answer is gone.
async fn ask<T>(
    calls: &mpsc::Sender<ApiCall>,
    request: impl FnOnce(Answer<T>) -> ExtensionRequest,
) -> Result<T, Refusal> {
    let (sender, answer) = oneshot::channel();
    let gone = || Refusal::Api(ApiError::Gone);
    let call = ApiCall::Extension(request(sender));
    calls.send(call).await.map_err(|_| gone())?;
    Ok(answer.await.map_err(|_| gone())??)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvokeEvent<'a> {
    event_type: &'static str,
    deadline_ms: u128,
    request_id: String,
    invoked_function_arn: &'a str,
    tracing: Tracing<'a>,
}

#[derive(Serialize)]
struct Tracing<'a> {
    r#type: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShutdownEvent {
    event_type: &'static str,
    deadline_ms: u128,
    shutdown_reason: String,
}

fn render(event: &EventForExtension) -> Response<Full<Bytes>> {
    let milliseconds = |deadline: &SystemTime| {
        let since = deadline.duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis())
    };
    match event {
        EventForExtension::Invoke {
            deadline,
            request_id,
            function_arn,
            trace_id,
        } => as_json(&InvokeEvent {
            event_type: "INVOKE",
            deadline_ms: milliseconds(deadline),
            request_id: request_id.to_string(),
            invoked_function_arn: function_arn,
            tracing: Tracing {
                r#type: "X-Amzn-Trace-Id",
                value: trace_id,
            },
        }),
        EventForExtension::Shutdown { deadline, reason } => as_json(&ShutdownEvent {
            event_type: "SHUTDOWN",
            deadline_ms: milliseconds(deadline),
            shutdown_reason: reason.to_string(),
        }),
    }
}

fn as_json(value: &impl Serialize) -> Response<Full<Bytes>> {
    // Strings and numbers have a JSON form.
    json(
        StatusCode::OK,
        serde_json::to_string(value).unwrap_or_default(),
    )
}

fn insert(response: &mut Response<Full<Bytes>>, name: HeaderName, identifier: Uuid) {
    // Digits and dashes are a header value.
    if let Ok(value) = HeaderValue::try_from(identifier.to_string()) {
        response.headers_mut().insert(name, value);
    }
}

impl From<ExtensionError> for Refusal {
    fn from(error: ExtensionError) -> Self {
        Self::Extension(error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn routes() {
        for (method, path, expected) in [
            (
                Method::POST,
                "/2020-01-01/extension/register",
                Some(Route::Register),
            ),
            (
                Method::GET,
                "/2020-01-01/extension/event/next",
                Some(Route::Next),
            ),
            (
                Method::POST,
                "/2020-01-01/extension/init/error",
                Some(Route::Report(ReportedFault::Init)),
            ),
            (
                Method::POST,
                "/2020-01-01/extension/exit/error",
                Some(Route::Report(ReportedFault::Exit)),
            ),
            (Method::GET, "/2020-01-01/extension/register", None),
            (Method::GET, "/2020-01-01/extension/event/next/", None),
            (Method::GET, "/2020-01-02/extension/event/next", None),
        ] {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn registrations_are_json() {
        for (body, expected) in [
            (r#"{"events":["INVOKE","X"]}"#, Ok(vec!["INVOKE", "X"])),
            (r#"{"events":[],"more":1}"#, Ok(vec![])),
            (r#"{"events":null}"#, Ok(vec![])),
            ("{}", Ok(vec![])),
            (r#"{"configurationKeys":[]}"#, Ok(vec![])),
            (
                r#"{"events":[],"configurationKeys":["a"]}"#,
                Err("configurationKeys are deprecated; use environment variables instead"),
            ),
            ("", Err("EOF while parsing a value at line 1 column 0")),
            (
                r#"{"events":"INVOKE"}"#,
                Err("invalid type: string \"INVOKE\", expected a sequence at line 1 column 18"),
            ),
        ] {
            let parsed = parse_registration(body.as_bytes());
            let parsed = parsed.map_err(|error| {
                assert_eq!(error.error_type(), "InvalidRequestFormat");
                error.to_string()
            });
            let expected = expected
                .map(|events| events.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(parsed, expected, "{body}");
        }
    }

    #[tokio::test]
    async fn events_have_lambdas_form() {
        let deadline = UNIX_EPOCH + Duration::from_secs(1_676_051_031);
        let request_id = RequestId::random();
        let invoke = EventForExtension::Invoke {
            deadline,
            request_id,
            function_arn: "arn:aws:lambda:us-east-1:123456789012:function:f".to_owned(),
            trace_id: "Root=1-a-b;Sampled=0".to_owned(),
        };
        let shutdown = EventForExtension::Shutdown {
            deadline,
            reason: ShutdownReason::Timeout,
        };
        for (event, expected) in [
            (
                invoke,
                format!(
                    r#"{{"eventType":"INVOKE","deadlineMs":1676051031000,"requestId":"{request_id}","invokedFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","tracing":{{"type":"X-Amzn-Trace-Id","value":"Root=1-a-b;Sampled=0"}}}}"#
                ),
            ),
            (
                shutdown,
                r#"{"eventType":"SHUTDOWN","deadlineMs":1676051031000,"shutdownReason":"timeout"}"#
                    .to_owned(),
            ),
        ] {
            let body = render(&event).into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), expected);
        }
    }
}
