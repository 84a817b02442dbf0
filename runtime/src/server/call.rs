//! What the two Invoke APIs have in common: a request in, the version and the
//! invocation that it means out.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::body::{self, BodyError};
use crate::environment::{Invocation, InvocationResult};
use crate::model::{
    ClientContext, FunctionReference, MAX_ASYNC_EVENT_BYTES, MAX_EVENT_BYTES, check_event,
};
use crate::pool::FunctionVersion;

/// Bytes of log in the tail that a caller may ask for.
const LOG_TAIL: usize = 4_096;

const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const LOG_TYPE: &str = "x-amz-log-type";
const CLIENT_CONTEXT: &str = "x-amz-client-context";

/// X-Ray's header, in every direction.
pub(super) const TRACE_ID: &str = "x-amzn-trace-id";

/// What a caller wants to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

/// A request that can be done.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: InvocationType,
    pub(super) log_tail: bool,
    pub(super) version: Arc<FunctionVersion>,
    pub(super) invocation: Invocation,
}

/// What the headers of a request say.
#[derive(Debug)]
struct Wishes {
    kind: InvocationType,
    log_tail: bool,
    client_context: Option<ClientContext>,
}

impl Context {
    /// An invocation, without an event yet, that belongs to the trace of the request
    /// with these headers: a new one if it is of none.
    pub(super) fn invocation(&self, headers: &HeaderMap) -> Invocation {
        let caller = headers.get(TRACE_ID).and_then(|value| value.to_str().ok());
        let mut invocation = Invocation::new(Bytes::new());
        invocation.trace_id = self.pools.trace(caller);
        invocation
    }
}

impl Call {
    /// Reads a request of an API that has the invocation types `types`.
    ///
    /// # Errors
    /// A header, the function or the event is refused.
    pub(super) async fn receive(
        context: &Context,
        reference: &FunctionReference,
        headers: &HeaderMap,
        body: &mut Incoming,
        types: &[InvocationType],
    ) -> Result<Self, Exception> {
        let wishes = Wishes::parse(headers, types);
        let limit = match wishes.as_ref().map(|wishes| wishes.kind) {
            Ok(InvocationType::Event) => MAX_ASYNC_EVENT_BYTES,
            _ => MAX_EVENT_BYTES,
        };
        // Whatever is refused, its client wants to be rid of the body first.
        let event = event(body, limit).await;
        let wishes = wishes?;
        let version = find(context, reference).await?;
        let mut invocation = context.invocation(headers);
        invocation.payload = event?;
        invocation.client_context = wishes.client_context;
        invocation.qualifier.clone_from(&reference.qualifier);
        Ok(Self {
            kind: wishes.kind,
            log_tail: wishes.log_tail,
            version,
            invocation,
        })
    }
}

async fn find(
    context: &Context,
    reference: &FunctionReference,
) -> Result<Arc<FunctionVersion>, Exception> {
    if let Some(version) = context.functions.find(reference) {
        return Ok(version);
    }
    // The Runtime Interface Emulator knows its function by this name only.
    if reference.name.as_str() == "function"
        && let Some(only) = context.functions.only()
    {
        return Ok(only);
    }
    // It may be active since a moment ago.
    let (control, asked) = (Arc::clone(&context.control), reference.clone());
    let waited = tokio::task::spawn_blocking(move || control.wait_for(&asked)).await;
    waited.map_err(|error| Exception::service(&error.to_string()))?;
    let found = context.functions.find(reference);
    found.ok_or_else(|| context.control.not_invocable(reference).into())
}

impl InvocationType {
    /// Lambda's word for it.
    fn as_str(self) -> &'static str {
        match self {
            Self::RequestResponse => "RequestResponse",
            Self::Event => "Event",
            Self::DryRun => "DryRun",
        }
    }
}

impl Wishes {
    fn parse(headers: &HeaderMap, types: &[InvocationType]) -> Result<Self, Exception> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let asked = text(INVOCATION_TYPE).unwrap_or("RequestResponse");
        let kind = types.iter().find(|kind| kind.as_str() == asked);
        let kind = kind.copied().ok_or_else(|| {
            let names: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
            enumeration("invocationType", asked, &format!("[{}]", names.join(", ")))
        })?;
        let log_tail = match text(LOG_TYPE) {
            None | Some("None") => false,
            Some("Tail") => true,
            Some(other) => return Err(enumeration("logType", other, "[None, Tail]")),
        };
        let client_context = text(CLIENT_CONTEXT).map(client_context).transpose()?;
        Ok(Self {
            kind,
            log_tail,
            client_context,
        })
    }
}

fn enumeration(parameter: &str, value: &str, values: &str) -> Exception {
    Exception::validation(&format!(
        "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy \
         constraint: Member must satisfy enum value set: {values}"
    ))
}

/// Decodes the caller's base64.
fn client_context(base64: &str) -> Result<ClientContext, Exception> {
    let refused = |reason: String| {
        Exception::invalid_parameter(&format!(
            "Client context must be a valid Base64-encoded JSON object: {reason}"
        ))
    };
    let bytes = BASE64_STANDARD
        .decode(base64)
        .map_err(|error| refused(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
    ClientContext::new(&text).map_err(|error| refused(error.to_string()))
}

/// The event: JSON, `{}` if there is none.
async fn event(body: &mut Incoming, limit: usize) -> Result<Bytes, Exception> {
    let body = body::read(body, limit).await.map_err(|error| match error {
        BodyError::TooLarge => Exception::too_large(limit),
        error => Exception::invalid_json(&error.to_string()),
    })?;
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    check_event(&body).map_err(|error| Exception::invalid_json(&error))?;
    Ok(body)
}

pub(super) fn respond(
    status: StatusCode,
    invocation: &Invocation,
    body: Bytes,
) -> Response<ResponseBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(
        headers,
        "x-amzn-requestid",
        &invocation.request_id.to_string(),
    );
    set(headers, TRACE_ID, &invocation.trace_id.for_caller());
    set(headers, "x-amzn-remapped-content-length", "0");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The end of an invocation's log, as SDKs want it.
pub(super) fn encoded_log_tail(result: &InvocationResult) -> String {
    let tail = &result.logs[result.logs.len().saturating_sub(LOG_TAIL)..];
    BASE64_STANDARD.encode(tail)
}

pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Base64, numbers and identifiers are header values.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            set(&mut headers, name, value);
        }
        headers
    }

    use InvocationType::{DryRun, Event, RequestResponse};

    #[test]
    fn headers_are_parsed_as_lambda_does() {
        let parse = |headers: &HeaderMap| Wishes::parse(headers, &[Event, RequestResponse, DryRun]);
        let call = parse(&headers(&[])).unwrap();
        assert_eq!(call.kind, RequestResponse);
        assert!(!call.log_tail);
        let call = parse(&headers(&[
            (INVOCATION_TYPE, "Event"),
            (LOG_TYPE, "Tail"),
            (CLIENT_CONTEXT, "eyJjdXN0b20iOnt9fQ=="),
        ]))
        .unwrap();
        assert_eq!(call.kind, Event);
        assert!(call.log_tail);
        assert_eq!(call.client_context.unwrap().as_str(), r#"{"custom":{}}"#);
        for (bad, name) in [
            ((INVOCATION_TYPE, "event"), "ValidationException"),
            ((LOG_TYPE, "All"), "ValidationException"),
            ((CLIENT_CONTEXT, "%"), "InvalidParameterValueException"),
            ((CLIENT_CONTEXT, "W10="), "InvalidParameterValueException"),
        ] {
            assert_eq!(parse(&headers(&[bad])).unwrap_err().name, name, "{bad:?}");
        }
        // A stream has somebody who reads it.
        let asked = headers(&[(INVOCATION_TYPE, "Event")]);
        let refused = Wishes::parse(&asked, &[RequestResponse, DryRun]).unwrap_err();
        let message = refused.body["message"].as_str().unwrap();
        assert!(
            message.ends_with("set: [RequestResponse, DryRun]"),
            "{message}"
        );
    }
}
