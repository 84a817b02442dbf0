//! The Invoke API 2015-03-31.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};

use super::call::{Call, InvocationType, encoded_log_tail, respond, set};
use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::environment::InvocationResult;
use crate::model::FunctionReference;
use crate::pool::FunctionVersion;

const TYPES: [InvocationType; 3] = [
    InvocationType::Event,
    InvocationType::RequestResponse,
    InvocationType::DryRun,
];

/// Answers an Invoke request.
pub(super) async fn invoke(
    context: &Context,
    reference: &FunctionReference,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<ResponseBody>, Exception> {
    let call = Call::receive(context, reference, headers, body, &TYPES).await?;
    let (version, invocation) = (call.version, call.invocation);
    match call.kind {
        InvocationType::DryRun => Ok(respond(StatusCode::NO_CONTENT, &invocation, Bytes::new())),
        InvocationType::Event => {
            let response = respond(StatusCode::ACCEPTED, &invocation, Bytes::new());
            let target = FunctionReference {
                // Its own name, where the caller used the emulator's.
                name: version.configuration.function_name.clone(),
                qualifier: reference.qualifier.clone(),
            };
            context.events.accept(target, invocation).await?;
            Ok(response)
        }
        InvocationType::RequestResponse => {
            let mut response = respond(StatusCode::OK, &invocation, Bytes::new());
            let result = context.pools.invoke(&version, invocation).await?;
            describe(response.headers_mut(), &version, &result, call.log_tail);
            *response.body_mut() = full(result.payload());
            Ok(response)
        }
    }
}

fn describe(
    headers: &mut HeaderMap,
    version: &FunctionVersion,
    result: &InvocationResult,
    log_tail: bool,
) {
    set(headers, "x-amz-executed-version", &version.version);
    if let Some(kind) = result.function_error() {
        set(headers, "x-amz-function-error", kind);
    }
    if log_tail {
        set(headers, "x-amz-log-result", &encoded_log_tail(result));
    }
}
