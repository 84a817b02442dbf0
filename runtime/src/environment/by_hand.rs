//! The Runtime API for an entry point that a person starts by hand, in a shell.
//!
//! Whatever is started gets the event as often as was asked for, and then waits. Who asks
//! while somebody waits was started after that one was ended, and gets the event again.
//! Nothing here is limited in time, frozen or counted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::Invocation;
use crate::api::{ApiCall, ApiError, Content, NextEvent, Posting};
use crate::model::{RequestId, RuntimeCall, RuntimeState};

/// What the events of a shell are made of.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    /// What is handed out, each time with a request id of its own.
    pub(crate) invocation: Invocation,
    /// How often to whatever is started.
    pub(crate) repeat: u32,
    /// The function's time-out, of which the deadline tells.
    pub(crate) timeout: Duration,
    /// Without a qualifier.
    pub(crate) function_arn: String,
}

/// The state of what was started by hand.
#[derive(Debug)]
pub(super) struct ByHand {
    events: Events,
    state: RuntimeState,
    /// How many events the one that runs still gets.
    left: u32,
    /// The event that is not answered yet.
    open: Option<Arc<NextEvent>>,
    posting: Option<Posting>,
    /// Who waits for an event that does not come.
    waiting: Option<oneshot::Sender<Result<Arc<NextEvent>, ApiError>>>,
}

impl ByHand {
    pub(super) fn new(events: Events) -> Self {
        Self {
            left: events.repeat,
            events,
            state: RuntimeState::Started,
            open: None,
            posting: None,
            waiting: None,
        }
    }

    /// Answers a call. Returns what the person at the shell is to know.
    pub(super) fn on_call(&mut self, call: ApiCall) -> Option<String> {
        match call {
            ApiCall::Next(answer) => self.next(answer),
            ApiCall::Begin(posting, answer) => {
                let allowed = self.begin(posting);
                let _ = answer.send(allowed.map(|()| None));
                None
            }
            ApiCall::Finish(content, answer) => {
                let _ = answer.send(Ok(()));
                self.finish(content)
            }
            // Dropping it answers it: nobody has started extensions.
            ApiCall::Extension(_) => None,
        }
    }

    /// The person has pressed the key that interrupts. A client that waits in C, as
    /// Python's does, does not come to its signal before its wait has an answer: it gets
    /// an error. What comes next was started again.
    pub(super) fn interrupt(&mut self) {
        if self.waiting.take().is_some() {
            self.left = self.events.repeat;
            self.state = RuntimeState::Started;
        }
    }

    fn next(
        &mut self,
        answer: oneshot::Sender<Result<Arc<NextEvent>, ApiError>>,
    ) -> Option<String> {
        // A runtime has one `next` at a time, so this is another one, or the same after
        // its connection.
        if self.waiting.take().is_some() {
            self.left = self.events.repeat;
        }
        // Whatever its predecessor was about.
        self.posting = None;
        if self.open.is_none() {
            if self.left == 0 {
                self.state = RuntimeState::Ready;
                self.waiting = Some(answer);
                return Some(
                    "it waits for its next event, which does not come: end it with ctrl-C, or ctrl-\\".into(),
                );
            }
            self.left -= 1;
            self.open = Some(Arc::new(self.event()));
        }
        self.state = RuntimeState::Running;
        let event = self.open.clone()?;
        let said = format!("event {}", event.request_id);
        // A client that has hung up asks again.
        let _ = answer.send(Ok(event));
        Some(said)
    }

    fn event(&self) -> NextEvent {
        let Events {
            invocation,
            timeout,
            function_arn,
            ..
        } = &self.events;
        NextEvent {
            request_id: RequestId::random(),
            invocation_id: RequestId::random().to_string(),
            deadline: SystemTime::now() + *timeout,
            function_arn: function_arn.clone(),
            trace_id: invocation.trace_id.to_string(),
            client_context: invocation.client_context.clone(),
            cognito_identity: invocation.cognito_identity.clone(),
            payload: invocation.payload.clone(),
        }
    }

    fn begin(&mut self, posting: Posting) -> Result<(), ApiError> {
        if posting.call == RuntimeCall::InitError {
            // A first start, however many there were.
            self.state = RuntimeState::Started;
        }
        let state = self.state.after(posting.call).map_err(ApiError::State)?;
        if posting.call != RuntimeCall::InitError {
            let open = self.open.as_ref().ok_or(ApiError::InvalidRequestId)?;
            if posting.request_id != Some(open.request_id.to_string()) {
                return Err(ApiError::InvalidRequestId);
            }
        }
        self.state = state;
        self.posting = Some(posting);
        Ok(())
    }

    fn finish(&mut self, content: Result<Content, ApiError>) -> Option<String> {
        let posting = self.posting.take()?;
        let what = match posting.call {
            RuntimeCall::InitError => "INIT error",
            RuntimeCall::Error => "error",
            RuntimeCall::Response | RuntimeCall::Next => "response",
        };
        if posting.call == RuntimeCall::InitError {
            self.state = RuntimeState::Started;
        } else {
            self.state = RuntimeState::ResponseSent;
            self.open = None;
        }
        Some(match content {
            Ok(content) => format!("{what}: {}", String::from_utf8_lossy(&content.bytes)),
            Err(error) => format!("{what} refused: {}", error.message()),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    type Answer = oneshot::Receiver<Result<Arc<NextEvent>, ApiError>>;

    fn by_hand(repeat: u32) -> ByHand {
        ByHand::new(Events {
            invocation: Invocation::new(Bytes::from_static(b"{}")),
            repeat,
            timeout: Duration::from_secs(3),
            function_arn: "arn".to_owned(),
        })
    }

    fn next(api: &mut ByHand) -> (Answer, String) {
        let (sender, answer) = oneshot::channel();
        let said = api.on_call(ApiCall::Next(sender)).unwrap();
        (answer, said)
    }

    fn taken(api: &mut ByHand) -> Arc<NextEvent> {
        next(api).0.try_recv().unwrap().unwrap()
    }

    /// Posts an answer; what is said of it, or why it is refused.
    fn post(api: &mut ByHand, call: RuntimeCall, id: &str) -> Result<String, ApiError> {
        let posting = Posting {
            call,
            request_id: (call != RuntimeCall::InitError).then(|| id.to_owned()),
            invocation_id: None,
            error_type: None,
            streaming: false,
        };
        let (sender, mut allowed) = oneshot::channel();
        assert!(api.on_call(ApiCall::Begin(posting, sender)).is_none());
        allowed.try_recv().unwrap()?;
        let content = Content {
            bytes: Bytes::from_static(b"\"done\""),
            length: 6,
            streamed: false,
            error: None,
        };
        let (sender, _answer) = oneshot::channel();
        Ok(api.on_call(ApiCall::Finish(Ok(content), sender)).unwrap())
    }

    #[test]
    fn each_start_gets_the_event_as_often_as_was_asked_for() {
        let mut api = by_hand(2);
        let mut seen = vec![];
        // The second is started after ctrl-C.
        for _ in 0..2 {
            for _ in 0..2 {
                let id = taken(&mut api).request_id.to_string();
                let said = post(&mut api, RuntimeCall::Response, &id).unwrap();
                assert_eq!(said, "response: \"done\"");
                seen.push(id);
            }
            let (mut answer, said) = next(&mut api);
            assert!(said.contains("does not come"), "{said}");
            assert!(answer.try_recv().is_err());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn an_interrupt_answers_who_waits() {
        let mut api = by_hand(1);
        // Nobody waits: the signal is enough.
        api.interrupt();
        let id = taken(&mut api).request_id.to_string();
        api.interrupt();
        post(&mut api, RuntimeCall::Response, &id).unwrap();
        let (mut answer, _) = next(&mut api);
        assert_eq!(answer.try_recv().err(), Some(TryRecvError::Empty));
        api.interrupt();
        assert_eq!(answer.try_recv().err(), Some(TryRecvError::Closed));
        // What is started then gets the event.
        assert_ne!(taken(&mut api).request_id.to_string(), id);
    }

    #[test]
    fn what_died_with_an_event_leaves_it_to_the_next() {
        let mut api = by_hand(1);
        let first = taken(&mut api);
        let again = taken(&mut api);
        assert_eq!(first.request_id, again.request_id);
        let id = again.request_id.to_string();
        assert!(post(&mut api, RuntimeCall::Error, &id).is_ok());
        assert_eq!(
            post(&mut api, RuntimeCall::Error, &id),
            Err(ApiError::State(
                RuntimeState::ResponseSent
                    .after(RuntimeCall::Error)
                    .unwrap_err()
            ))
        );
    }

    #[test]
    fn calls_that_lambda_refuses_are_refused() {
        let mut api = by_hand(1);
        assert!(matches!(
            post(&mut api, RuntimeCall::Response, "x"),
            Err(ApiError::State(_))
        ));
        assert_eq!(
            post(&mut api, RuntimeCall::InitError, ""),
            Ok("INIT error: \"done\"".to_owned())
        );
        let _ = taken(&mut api);
        assert_eq!(
            post(&mut api, RuntimeCall::Response, "x"),
            Err(ApiError::InvalidRequestId)
        );
    }
}
