//! `InvokeWithResponseStream` 2021-11-15: an event stream, part by part.

use std::convert::Infallible;
use std::sync::Arc;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as EventHeaderValue, Message};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::call::{Call, InvocationType, encoded_log_tail, respond, set};
use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::api::ResponsePart;
use crate::environment::{InvocationAnswer, Outcome};
use crate::model::FunctionReference;
use crate::pool::PoolError;

/// Parts that may wait for a slow client before the function has to.
const PARTS: usize = 16;

/// Somebody has to read the stream, so there is no `Event`.
const TYPES: [InvocationType; 2] = [InvocationType::RequestResponse, InvocationType::DryRun];

/// Answers an `InvokeWithResponseStream` request.
pub(super) async fn invoke(
    context: &Context,
    reference: &FunctionReference,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response<ResponseBody>, Exception> {
    let call = Call::receive(context, reference, headers, body, &TYPES).await?;
    let (version, mut invocation) = (call.version, call.invocation);
    if call.kind == InvocationType::DryRun {
        return Ok(respond(StatusCode::NO_CONTENT, &invocation, Bytes::new()));
    }
    let mut response = respond(StatusCode::OK, &invocation, Bytes::new());
    let headers = response.headers_mut();
    set(headers, "x-amz-executed-version", &version.version);
    let stream = HeaderValue::from_static("application/vnd.amazon.eventstream");
    headers.insert(CONTENT_TYPE, stream);
    let (sender, mut parts) = mpsc::channel(PARTS);
    invocation.stream = Some(sender);
    let pools = Arc::clone(&context.pools);
    let log_tail = call.log_tail;
    let running = tokio::spawn(async move {
        if !log_tail {
            return Ok((pools.answer(&version, invocation).await?, None));
        }
        // The tail has the REPORT line, which comes last.
        let result = pools.invoke(&version, invocation).await?;
        let tail = encoded_log_tail(&result);
        Ok((result.into(), Some(tail)))
    });
    // Until there is something to answer, an error can still be an error.
    let Some(first) = parts.recv().await else {
        let (answer, tail) = running.await.unwrap_or_else(|_| Err(PoolError::lost()))?;
        *response.body_mut() = full(whole(&answer, tail).concat().into());
        return Ok(response);
    };
    let (mut sender, frames) = Channel::<Bytes, Infallible>::new(PARTS);
    *response.body_mut() = frames.boxed_unsync();
    tokio::spawn(async move {
        let mut part = Some(first);
        while let Some(now) = part {
            if let ResponsePart::Chunk(bytes) = now
                && sender.send_data(chunk(bytes)).await.is_err()
            {
                // The client has gone; the function goes on, on its own.
                return;
            }
            part = parts.recv().await;
        }
        let result = running.await.unwrap_or_else(|_| Err(PoolError::lost()));
        let last = match result {
            Ok((answer, tail)) => complete(Some(&answer), tail),
            Err(_) => complete(None, None),
        };
        let _ = sender.send_data(last).await;
    });
    Ok(response)
}

/// The frames of a response that the runtime did not stream.
fn whole(answer: &InvocationAnswer, tail: Option<String>) -> Vec<Bytes> {
    let mut frames = vec![];
    if let Outcome::Response(body) = &answer.outcome {
        frames.push(chunk(body.clone()));
    }
    frames.push(complete(Some(answer), tail));
    frames
}

fn chunk(bytes: Bytes) -> Bytes {
    frame("PayloadChunk", "application/octet-stream", bytes)
}

/// The last frame: how it went, `None` if the environment was lost; and the end of
/// the log, if it was asked for.
fn complete(answer: Option<&InvocationAnswer>, tail: Option<String>) -> Bytes {
    let mut members = Map::new();
    match answer {
        None => {
            members.insert("ErrorCode".to_owned(), "ServiceException".into());
        }
        Some(answer) if answer.function_error().is_some() => {
            let body = answer.payload();
            let error_type = error_type(&answer.outcome, &body);
            members.insert("ErrorCode".to_owned(), error_type.into());
            let details = String::from_utf8_lossy(&body).into_owned();
            members.insert("ErrorDetails".to_owned(), details.into());
        }
        Some(_) => {}
    }
    if let Some(tail) = tail {
        members.insert("LogResult".to_owned(), tail.into());
    }
    let payload = Value::Object(members).to_string();
    frame("InvokeComplete", "application/json", payload.into())
}

/// Lambda's type of a failure, the runtime's of an error that it reported.
fn error_type(outcome: &Outcome, body: &[u8]) -> String {
    match outcome {
        Outcome::Failure(failure) => failure.error_type().to_owned(),
        Outcome::Streamed(Some(error)) => error.error_type.clone(),
        _ => serde_json::from_slice::<Value>(body)
            .ok()
            .and_then(|body| Some(body.get("errorType")?.as_str()?.to_owned()))
            .unwrap_or_else(|| "Unhandled".to_owned()),
    }
}

fn frame(event_type: &'static str, content_type: &'static str, payload: Bytes) -> Bytes {
    let header = |name: &'static str, value: &'static str| {
        Header::new(name, EventHeaderValue::String(value.into()))
    };
    let message = Message::new(payload)
        .add_header(header(":message-type", "event"))
        .add_header(header(":event-type", event_type))
        .add_header(header(":content-type", content_type));
    let mut bytes = vec![];
    // Only a payload of more than 16 MiB does not fit; hyper reads less at a time.
    if let Err(error) = write_message_to(&message, &mut bytes) {
        tracing::error!(%error, "a frame cannot be written");
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;

    use super::*;

    #[test]
    fn frames_are_aws_event_streams() {
        let mut bytes = chunk(Bytes::from_static(b"hello"));
        let message = read_message_from(&mut bytes).unwrap();
        assert_eq!(message.payload().as_ref(), b"hello");
        let headers: Vec<_> = message
            .headers()
            .iter()
            .map(|header| {
                let value = header.value().as_string().unwrap();
                (header.name().as_str().to_owned(), value.as_str().to_owned())
            })
            .collect();
        assert_eq!(
            headers[1],
            (":event-type".to_owned(), "PayloadChunk".to_owned())
        );
        let mut bytes = complete(None, None);
        let message = read_message_from(&mut bytes).unwrap();
        assert_eq!(
            message.payload().as_ref(),
            br#"{"ErrorCode":"ServiceException"}"#
        );
    }
}
