//! The state of an extension as the Extensions API sees it, with the names that
//! Lambda uses in its 403 answers and in the log.

use std::fmt;

/// States of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionState {
    /// Its process was started; it has not registered.
    Started,
    /// Its process could not be started.
    LaunchError,
    /// Registered; it has not asked for an event.
    Registered,
    /// It waits in `next`.
    Ready,
    /// It has an event.
    Running,
    /// It reported that it cannot initialise.
    InitError,
    /// It reported that it has to end.
    ExitError,
    /// It ended by itself after SHUTDOWN.
    Exited,
    /// It had to be killed, or failed, after SHUTDOWN.
    ShutdownFailed,
}

impl fmt::Display for ExtensionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Started => "Started",
            Self::LaunchError => "LaunchError",
            Self::Registered => "Registered",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InitError => "InitError",
            Self::ExitError => "ExitError",
            Self::Exited => "Exited",
            Self::ShutdownFailed => "ShutdownFailed",
        })
    }
}

/// What an extension asks of the Extensions API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionCall {
    /// `POST …/extension/register`.
    Register,
    /// `GET …/extension/event/next`.
    Next,
    /// `POST …/extension/init/error`.
    InitError,
    /// `POST …/extension/exit/error`.
    ExitError,
}

/// A call that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionTransitionError {
    /// The state of the extension.
    pub from: ExtensionState,
    /// What Lambda calls the state that was asked for.
    pub to: ExtensionState,
}

impl ExtensionState {
    /// The state after `call`.
    ///
    /// Unlike a runtime, an extension that waits in `next` cannot ask again.
    /// Errors can be reported again, and the first one counts.
    ///
    /// # Errors
    /// The call is not legal in this state.
    pub fn after(self, call: ExtensionCall) -> Result<Self, ExtensionTransitionError> {
        match (self, call) {
            (Self::Started, ExtensionCall::Register) => Ok(Self::Registered),
            (Self::Registered | Self::Running, ExtensionCall::Next) => Ok(Self::Ready),
            (Self::Registered | Self::InitError, ExtensionCall::InitError) => Ok(Self::InitError),
            (
                Self::Registered | Self::Ready | Self::Running | Self::ExitError,
                ExtensionCall::ExitError,
            ) => Ok(Self::ExitError),
            (from, call) => Err(ExtensionTransitionError {
                from,
                to: match call {
                    ExtensionCall::Register => Self::Registered,
                    ExtensionCall::Next => Self::Ready,
                    ExtensionCall::InitError => Self::InitError,
                    // Lambda's own word for it.
                    ExtensionCall::ExitError => Self::Exited,
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExtensionCall as Call;
    use super::ExtensionState as S;

    #[test]
    fn legal_and_illegal_calls() {
        // For each state: what register, next, init/error and exit/error lead to.
        let table = [
            (S::Started, [Some(S::Registered), None, None, None]),
            (S::LaunchError, [None; 4]),
            (
                S::Registered,
                [None, Some(S::Ready), Some(S::InitError), Some(S::ExitError)],
            ),
            (S::Ready, [None, None, None, Some(S::ExitError)]),
            (S::Running, [None, Some(S::Ready), None, Some(S::ExitError)]),
            (S::InitError, [None, None, Some(S::InitError), None]),
            (S::ExitError, [None, None, None, Some(S::ExitError)]),
            (S::Exited, [None; 4]),
            (S::ShutdownFailed, [None; 4]),
        ];
        for (state, expected) in table {
            let calls = [Call::Register, Call::Next, Call::InitError, Call::ExitError];
            for (call, expected) in calls.into_iter().zip(expected) {
                assert_eq!(state.after(call).ok(), expected, "{state} {call:?}");
            }
        }
    }
}
