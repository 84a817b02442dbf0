//! The state of the runtime process as the Runtime API sees it, with the names
//! that Lambda uses in its 403 answers.

use std::fmt;

/// States of a runtime process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeState {
    /// Started, and silent so far.
    Started,
    /// It reported that it cannot initialise.
    InitError,
    /// It waits in `next`.
    Ready,
    /// It has an event.
    Running,
    /// It is posting a response.
    InvocationResponse,
    /// It is posting an error.
    InvocationErrorResponse,
    /// Its answer is complete.
    ResponseSent,
}

impl fmt::Display for RuntimeState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Started => "Started",
            Self::InitError => "InitError",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InvocationResponse => "InvocationResponse",
            Self::InvocationErrorResponse => "InvocationErrorResponse",
            Self::ResponseSent => "RuntimeResponseSentState",
        })
    }
}

/// What a runtime asks of the Runtime API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeCall {
    /// `GET …/invocation/next`.
    Next,
    /// `POST …/invocation/{id}/response`, before its body is read.
    Response,
    /// `POST …/invocation/{id}/error`, before its body is read.
    Error,
    /// `POST …/init/error`.
    InitError,
}

/// A call that the state does not allow: Lambda's 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
)]
pub struct StateTransitionError {
    from: RuntimeState,
    to: RuntimeState,
}

impl RuntimeState {
    /// The state after `call`.
    ///
    /// `next` while an event is out is allowed and changes nothing: the same
    /// event is served again, which is how clients survive a lost connection.
    ///
    /// # Errors
    /// The call is not legal in this state.
    pub fn after(self, call: RuntimeCall) -> Result<Self, StateTransitionError> {
        let to = match call {
            RuntimeCall::Next if self == Self::Running => Self::Running,
            RuntimeCall::Next => Self::Ready,
            RuntimeCall::Response => Self::InvocationResponse,
            RuntimeCall::Error => Self::InvocationErrorResponse,
            RuntimeCall::InitError => Self::InitError,
        };
        let allowed = match call {
            RuntimeCall::Next => matches!(
                self,
                Self::Started | Self::Ready | Self::Running | Self::ResponseSent
            ),
            RuntimeCall::Response | RuntimeCall::Error => self == Self::Running,
            RuntimeCall::InitError => self == Self::Started,
        };
        if allowed {
            Ok(to)
        } else {
            Err(StateTransitionError { from: self, to })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RuntimeCall::{Error, InitError, Next, Response};
    use super::*;

    #[test]
    fn legal_and_illegal_calls() {
        use RuntimeState as S;
        let states = [
            S::Started,
            S::InitError,
            S::Ready,
            S::Running,
            S::InvocationResponse,
            S::InvocationErrorResponse,
            S::ResponseSent,
        ];
        for state in states {
            for call in [Next, Response, Error, InitError] {
                let expected = match (state, call) {
                    (S::Started | S::Ready | S::ResponseSent, Next) => Some(S::Ready),
                    (S::Running, Next) => Some(S::Running),
                    (S::Running, Response) => Some(S::InvocationResponse),
                    (S::Running, Error) => Some(S::InvocationErrorResponse),
                    (S::Started, InitError) => Some(S::InitError),
                    _ => None,
                };
                assert_eq!(state.after(call).ok(), expected, "{state} {call:?}");
            }
        }
        assert_eq!(
            S::Started.after(Response).unwrap_err().to_string(),
            "State transition from Started to InvocationResponse failed for runtime. \
             Error: State transition is not allowed"
        );
    }
}
