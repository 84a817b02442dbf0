//! The Invoke API 2015-03-31.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};

use super::call::{Call, InvocationType, encoded_log_tail, respond, set};
use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::model::FunctionReference;

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
    body: &mut Incoming,
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
