//! What the runtime asks of the Runtime API: is it allowed now, and what does it
//! mean for the environment?

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::{InvocationAnswer, Outcome};
use super::{Actor, Moment, NumberedCall};
use crate::api::{ApiCall, ApiError, Content, NextEvent, Posting, ResponsePart};
use crate::model::{Answer, Event, Failure, Phase, RequestId, RuntimeCall, RuntimeState};
use crate::telemetry;

impl Actor {
    pub(super) fn on_call(&mut self, (generation, call): NumberedCall) {
        let current = generation == self.generation;
        let Some(runtime) = self.runtime.as_mut().filter(|_| current) else {
            // Dropping the call answers it: the environment is gone.
            return;
        };
        match call {
            ApiCall::Next(answer) => match runtime.state.after(RuntimeCall::Next) {
                Ok(state) => {
                    runtime.state = state;
                    runtime.pending_next = Some(answer);
                    self.handle(Event::RuntimeNext);
                }
                Err(error) => {
                    let _ = answer.send(Err(ApiError::State(error)));
                }
            },
            ApiCall::Begin(posting, answer) => {
                let _ = answer.send(self.begin(posting));
            }
            ApiCall::Finish(body, answer) => {
                let _ = answer.send(Ok(()));
                self.finish(body);
            }
            ApiCall::Extension(request) => self.on_extension(request),
        }
    }

    /// Whether a posting is allowed now.
    fn begin(&mut self, posting: Posting) -> Result<Option<mpsc::Sender<ResponsePart>>, ApiError> {
        let runtime = self.runtime.as_mut().ok_or(ApiError::Gone)?;
        let state = runtime.state.after(posting.call).map_err(ApiError::State)?;
        if posting.call != RuntimeCall::InitError {
            // After a timeout, say, a runtime may have time to end, not to answer.
            let open = self.open.as_ref();
            let open = open.filter(|_| *self.life.phase() == Phase::Invoking);
            let current = open.and_then(|open| open.event.as_ref());
            let current = current.ok_or(ApiError::InvalidRequestId)?;
            if posting.request_id != Some(current.request_id.to_string()) {
                return Err(ApiError::InvalidRequestId);
            }
            if posting
                .invocation_id
                .as_ref()
                .is_some_and(|echoed| *echoed != current.invocation_id)
            {
                return Err(ApiError::InvalidInvocationId);
            }
        }
        runtime.state = state;
        if let Some(open) = self.open.as_mut() {
            open.timing.answering = Some(Moment::now());
        }
        let streams = posting.streaming && posting.call == RuntimeCall::Response;
        runtime.posting = Some(posting);
        let open = self.open.as_mut().filter(|_| streams);
        Ok(open.and_then(|open| open.invocation.stream.take()))
    }

    /// The body of the posting that was allowed.
    fn finish(&mut self, content: Result<Content, ApiError>) {
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        let Some(posting) = runtime.posting.take() else {
            return;
        };
        let length = content.as_ref().map_or(0, |content| content.length as u64);
        let outcome = match (posting.call, content) {
            (RuntimeCall::InitError, content) => {
                let body = content.map_or(Bytes::new(), |content| content.bytes);
                self.init_problem = error_message(&body);
                runtime.init_error = Some(body);
                let error_type = reported_error_type(posting.error_type.as_deref());
                self.handle(Event::RuntimeInitError(error_type));
                return;
            }
            (RuntimeCall::Response, Ok(content)) if content.streamed => {
                Outcome::Streamed(content.error)
            }
            (RuntimeCall::Response, Ok(content)) => match content.error {
                None => Outcome::Response(content.bytes),
                Some(error) => Outcome::FunctionError(error.body),
            },
            (_, Ok(content)) => Outcome::FunctionError(content.bytes),
            (_, Err(ApiError::TooLarge)) => Outcome::Failure(Failure::ResponseTooLarge),
            (_, Err(ApiError::InvalidResponseMode)) => {
                Outcome::Failure(Failure::InvalidResponseMode)
            }
            (_, Err(_)) => Outcome::Failure(Failure::TruncatedResponse),
        };
        runtime.state = RuntimeState::ResponseSent;
        if let Some(open) = &mut self.open {
            open.posted = Some(outcome);
            open.produced_bytes = length;
            open.timing.answered = Some(Moment::now());
        }
        self.handle(Event::RuntimeAnswered(Answer::Runtime));
    }

    pub(super) fn hand_out(&mut self) {
        let (Some(runtime), Some(open)) = (&mut self.runtime, &mut self.open) else {
            return;
        };
        let Some(answer) = runtime.pending_next.take() else {
            return;
        };
        let settings = &self.settings;
        let event = open.event.get_or_insert_with(|| {
            Arc::new(NextEvent {
                request_id: open.invocation.request_id,
                invocation_id: RequestId::random().to_string(),
                deadline: deadline_on_the_clock(self.deadline),
                function_arn: match &open.invocation.qualifier {
                    Some(qualifier) => format!("{}:{qualifier}", settings.function_arn),
                    None => settings.function_arn.clone(),
                },
                trace_id: open.invocation.trace_id.to_string(),
                client_context: open.invocation.client_context.clone(),
                cognito_identity: open.invocation.cognito_identity.clone(),
                payload: open.invocation.payload.clone(),
            })
        });
        runtime.state = RuntimeState::Running;
        open.timing.handed_out.get_or_insert_with(Moment::now);
        // A client that has hung up asks again.
        let _ = answer.send(Ok(Arc::clone(event)));
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        let init_error = self
            .runtime
            .as_mut()
            .and_then(|runtime| runtime.init_error.take());
        let timeout = self.settings.function.timeout;
        let Some(open) = &mut self.open else { return };
        open.outcome = match answer {
            Answer::Runtime => open.posted.take(),
            Answer::InitError => Some(Outcome::FunctionError(init_error.unwrap_or_default())),
            Answer::Timeout => Some(Outcome::Failure(Failure::Timeout(timeout))),
            Answer::Failure(failure) => Some(Outcome::Failure(failure)),
        };
        if let Some(outcome) = &open.outcome
            && let Some(answer) = open.reply.answer.take()
        {
            // A caller that has left does not need it.
            let _ = answer.send(InvocationAnswer {
                request_id: open.invocation.request_id,
                outcome: outcome.clone(),
            });
        }
        self.tell_fault();
    }

    /// Says that Lambda, and not the function, has answered.
    fn tell_fault(&mut self) {
        let Some(open) = &self.open else { return };
        if let Some(Outcome::Failure(failure)) = &open.outcome {
            let request_id = open.invocation.request_id;
            let fault = telemetry::Event::Fault {
                request_id,
                message: failure.message(request_id),
                error_type: failure.error_type(),
            };
            self.emit(&fault);
        }
    }
}

/// What a runtime says of an error, if it says it as Lambda's do.
fn error_message(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.get("errorMessage")?.as_str().map(str::to_owned)
}

/// Lambda keeps a reported type of its own form and replaces any other.
fn reported_error_type(header: Option<&str>) -> String {
    let own_form = |text: &str| {
        let name = text
            .strip_prefix("Runtime.")
            .or_else(|| text.strip_prefix("Function."))?;
        let (first, rest) = name.split_at_checked(1)?;
        (first.bytes().all(|byte| byte.is_ascii_uppercase())
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .then(|| text.to_owned())
    };
    let header = header.unwrap_or_default();
    own_form(header).unwrap_or_else(|| {
        if header.starts_with("Function.") {
            "Function.Unknown".to_owned()
        } else {
            "Runtime.Unknown".to_owned()
        }
    })
}

pub(super) fn deadline_on_the_clock(deadline: Option<Instant>) -> SystemTime {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    SystemTime::now() + left.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_types_of_another_form_are_unknown() {
        for (header, expected) in [
            (
                Some("Runtime.ImportModuleError"),
                "Runtime.ImportModuleError",
            ),
            (Some("Function.Custom"), "Function.Custom"),
            (Some("Function.custom"), "Function.Unknown"),
            (Some("Runtime.X"), "Runtime.Unknown"),
            (Some("KeyError"), "Runtime.Unknown"),
            (Some("Runtime.Bad\ntype"), "Runtime.Unknown"),
            (None, "Runtime.Unknown"),
        ] {
            assert_eq!(reported_error_type(header), expected, "{header:?}");
        }
    }
}
