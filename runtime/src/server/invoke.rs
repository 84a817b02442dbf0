//! The Invoke API 2015-03-31.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::environment::{Invocation, InvocationResult};
use crate::model::{ClientContext, FunctionReference, MAX_ASYNC_EVENT_BYTES, MAX_EVENT_BYTES};
use crate::pool::FunctionVersion;

/// Bytes of log in the tail that a caller may ask for.
const LOG_TAIL: usize = 4_096;

const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const LOG_TYPE: &str = "x-amz-log-type";
const CLIENT_CONTEXT: &str = "x-amz-client-context";

/// What a caller wants to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

/// A parsed request, before its body.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: InvocationType,
    pub(super) log_tail: bool,
    pub(super) client_context: Option<ClientContext>,
}

/// Answers an Invoke request.
pub(super) async fn invoke(
    context: &Context,
    reference: &FunctionReference,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<ResponseBody>, Exception> {
    let call = Call::parse(headers)?;
    let version = find(context, reference)?;
    let limit = match call.kind {
        InvocationType::Event => MAX_ASYNC_EVENT_BYTES,
        _ => MAX_EVENT_BYTES,
    };
    let payload = event(body, limit).await?;
    let mut invocation = Invocation::new(payload);
    invocation.client_context = call.client_context;
    match call.kind {
        InvocationType::DryRun => Ok(respond(StatusCode::NO_CONTENT, &invocation, Bytes::new())),
        InvocationType::Event => {
            let response = respond(StatusCode::ACCEPTED, &invocation, Bytes::new());
            let target = FunctionReference {
                // Its own name, where the caller used the emulator's.
                name: version.configuration.function_name.clone(),
                qualifier: reference.qualifier.clone(),
            };
            context.events.accept(target, invocation)?;
            Ok(response)
        }
        InvocationType::RequestResponse => {
            let mut response = respond(StatusCode::OK, &invocation, Bytes::new());
            let headers = response.headers_mut();
            set(headers, "x-amz-executed-version", &version.version);
            let answer = if call.log_tail {
                // The tail has the REPORT line, which comes last.
                let result = context.pools.invoke(&version, invocation).await?;
                set(headers, "x-amz-log-result", &encoded_log_tail(&result));
                result.into()
            } else {
                context.pools.answer(&version, invocation).await?
            };
            if let Some(kind) = answer.function_error() {
                set(headers, "x-amz-function-error", kind);
            }
            *response.body_mut() = full(answer.payload());
            Ok(response)
        }
    }
}

pub(super) fn find(
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
    Err(context.control.not_invocable(reference).into())
}

impl Call {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, Exception> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let kind = match text(INVOCATION_TYPE) {
            None | Some("RequestResponse") => InvocationType::RequestResponse,
            Some("Event") => InvocationType::Event,
            Some("DryRun") => InvocationType::DryRun,
            Some(other) => {
                return Err(enumeration(
                    "invocationType",
                    other,
                    "[Event, RequestResponse, DryRun]",
                ));
            }
        };
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

pub(super) fn enumeration(parameter: &str, value: &str, values: &str) -> Exception {
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
pub(super) async fn event(body: Incoming, limit: usize) -> Result<Bytes, Exception> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Exception::too_large(limit));
    }
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(Exception::too_large(limit)),
        Err(error) => return Err(Exception::invalid_json(&error.to_string())),
    };
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(&body)
        .map_err(|error| Exception::invalid_json(&error.to_string()))?;
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
    let trace = invocation.trace_id.as_str();
    set(
        headers,
        "x-amzn-requestid",
        &invocation.request_id.to_string(),
    );
    set(headers, "x-amzn-trace-id", &caller_trace(trace));
    set(headers, "x-amzn-remapped-content-length", "0");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The trace header as callers see it: lower-case keys, without the parent.
fn caller_trace(trace: &str) -> String {
    let part = |name: &str| trace.split(';').find_map(|part| part.strip_prefix(name));
    let root = part("Root=").unwrap_or_default();
    let sampled = part("Sampled=").unwrap_or("0");
    format!("root={root};sampled={sampled}")
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

    #[test]
    fn calls_are_parsed_as_lambda_does() {
        let call = Call::parse(&headers(&[])).unwrap();
        assert_eq!(call.kind, InvocationType::RequestResponse);
        assert!(!call.log_tail);
        let call = Call::parse(&headers(&[
            (INVOCATION_TYPE, "Event"),
            (LOG_TYPE, "Tail"),
            (CLIENT_CONTEXT, "eyJjdXN0b20iOnt9fQ=="),
        ]))
        .unwrap();
        assert_eq!(call.kind, InvocationType::Event);
        assert!(call.log_tail);
        assert_eq!(call.client_context.unwrap().as_str(), r#"{"custom":{}}"#);
        for (bad, name) in [
            ((INVOCATION_TYPE, "event"), "ValidationException"),
            ((LOG_TYPE, "All"), "ValidationException"),
            ((CLIENT_CONTEXT, "%"), "InvalidParameterValueException"),
            ((CLIENT_CONTEXT, "W10="), "InvalidParameterValueException"),
        ] {
            assert_eq!(
                Call::parse(&headers(&[bad])).unwrap_err().name,
                name,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn traces_have_the_callers_form() {
        assert_eq!(
            caller_trace("Root=1-a-b;Parent=c;Sampled=0"),
            "root=1-a-b;sampled=0"
        );
    }
}
