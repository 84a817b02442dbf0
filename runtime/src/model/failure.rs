//! How an invocation fails on Lambda's side, and the body that the caller gets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MAX_RESPONSE_BYTES, RequestId, Timeout};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// `exit` with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

impl ExitStatus {
    /// From what `wait` says of a process that has ended.
    pub(crate) fn from_wait(status: rustix::process::WaitStatus) -> Self {
        status.terminating_signal().map_or_else(
            || Self::Code(status.exit_status().unwrap_or(0)),
            Self::Signal,
        )
    }
}

impl fmt::Display for ExitStatus {
    /// The text that Lambda puts behind `Error:`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => formatter.write_str("Runtime exited without providing a reason"),
            Self::Code(code) => {
                write!(formatter, "Runtime exited with error: exit status {code}")
            }
            Self::Signal(number) => {
                formatter.write_str("Runtime exited with error: signal: ")?;
                match signal_name(*number) {
                    Some(name) => formatter.write_str(name),
                    None => write!(formatter, "signal {number}"),
                }
            }
        }
    }
}

impl ExitStatus {
    /// The text that Lambda puts behind `Error:` when an extension ended.
    pub(crate) fn of_extension(self) -> String {
        match self {
            Self::Code(0) => "exit code 0".to_owned(),
            Self::Code(code) => format!("exit status {code}"),
            Self::Signal(number) => match signal_name(number) {
                Some(name) => format!("signal: {name}"),
                None => format!("signal: signal {number}"),
            },
        }
    }
}

/// Go's names of signals, which is what Lambda prints.
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        _ => return None,
    })
}

/// How an extension brings its environment down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionFault {
    /// Its process could not be started.
    Launch,
    /// It reported `init/error` before a process ended.
    Init,
    /// It reported `exit/error` before a process ended.
    Exit,
    /// Its process ended without a word.
    Crash,
}

/// Why an invocation failed without an answer of the function's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The function timeout passed.
    Timeout(Timeout),
    /// The runtime process ended.
    Exit(ExitStatus),
    /// An extension's fault; the text says how a process ended, or did not start.
    Extension(ExtensionFault, String),
    /// The memory limit was hit; the whole environment was killed.
    OutOfMemory,
    /// The entry point could not be executed; the text says why.
    InvalidEntrypoint(String),
    /// The working directory could not be entered; the text says why.
    InvalidWorkingDirectory(String),
    /// The runtime posted more than [`MAX_RESPONSE_BYTES`].
    ResponseTooLarge,
    /// The runtime's answer was shorter than it had announced.
    TruncatedResponse,
    /// The runtime asked for a response mode that there is not.
    InvalidResponseMode,
}

impl Failure {
    /// Lambda's `errorType`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "Sandbox.Timedout",
            Self::Exit(_) => "Runtime.ExitError",
            Self::Extension(ExtensionFault::Launch, _) => "Extension.LaunchError",
            Self::Extension(ExtensionFault::Init, _) => "Extension.InitError",
            Self::Extension(ExtensionFault::Exit, _) => "Extension.ExitError",
            Self::Extension(ExtensionFault::Crash, _) => "Extension.Crash",
            Self::OutOfMemory => "Runtime.OutOfMemory",
            Self::InvalidEntrypoint(_) => "Runtime.InvalidEntrypoint",
            Self::InvalidWorkingDirectory(_) => "Runtime.InvalidWorkingDir",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Self::TruncatedResponse => "Runtime.TruncatedResponse",
            Self::InvalidResponseMode => "Runtime.InvalidResponseModeHeader",
        }
    }

    /// Lambda's `errorMessage`.
    pub fn message(&self, request_id: RequestId) -> String {
        let reason = match self {
            Self::Timeout(timeout) => {
                format!(
                    "Task timed out after {:.2} seconds",
                    timeout.duration().as_secs_f64()
                )
            }
            Self::Exit(status) => status.to_string(),
            Self::OutOfMemory => ExitStatus::Signal(9).to_string(),
            Self::InvalidEntrypoint(reason)
            | Self::InvalidWorkingDirectory(reason)
            | Self::Extension(_, reason) => reason.clone(),
            Self::TruncatedResponse => "Response truncated".to_owned(),
            Self::InvalidResponseMode => "Invalid function response mode".to_owned(),
            Self::ResponseTooLarge => {
                return format!(
                    "Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
                );
            }
        };
        format!("RequestId: {request_id} Error: {reason}")
    }

    /// The answer's body, with Lambda's order of keys.
    pub fn body(&self, request_id: RequestId) -> Vec<u8> {
        let error_type = serde_json::Value::from(self.error_type());
        let message = serde_json::Value::from(self.message(request_id));
        let text = match self {
            // The one error that Lambda writes the other way round.
            Self::ResponseTooLarge => {
                format!(r#"{{"errorMessage":{message},"errorType":{error_type}}}"#)
            }
            _ => format!(r#"{{"errorType":{error_type},"errorMessage":{message}}}"#),
        };
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_lambdas() {
        let id = RequestId::random();
        for (failure, expected) in [
            (
                Failure::Timeout(Timeout::new(1).unwrap()),
                format!(
                    r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: {id} Error: Task timed out after 1.00 seconds"}}"#
                ),
            ),
            (
                Failure::Exit(ExitStatus::Code(0)),
                format!(
                    r#"{{"errorType":"Runtime.ExitError","errorMessage":"RequestId: {id} Error: Runtime exited without providing a reason"}}"#
                ),
            ),
            (
                Failure::Exit(ExitStatus::Code(127)),
                format!(
                    r#"{{"errorType":"Runtime.ExitError","errorMessage":"RequestId: {id} Error: Runtime exited with error: exit status 127"}}"#
                ),
            ),
            (
                Failure::Exit(ExitStatus::Signal(11)),
                format!(
                    r#"{{"errorType":"Runtime.ExitError","errorMessage":"RequestId: {id} Error: Runtime exited with error: signal: segmentation fault"}}"#
                ),
            ),
            (
                Failure::Extension(ExtensionFault::Crash, ExitStatus::Code(0).of_extension()),
                format!(
                    r#"{{"errorType":"Extension.Crash","errorMessage":"RequestId: {id} Error: exit code 0"}}"#
                ),
            ),
            (
                Failure::Extension(ExtensionFault::Init, ExitStatus::Code(3).of_extension()),
                format!(
                    r#"{{"errorType":"Extension.InitError","errorMessage":"RequestId: {id} Error: exit status 3"}}"#
                ),
            ),
            (
                Failure::Extension(ExtensionFault::Exit, ExitStatus::Signal(9).of_extension()),
                format!(
                    r#"{{"errorType":"Extension.ExitError","errorMessage":"RequestId: {id} Error: signal: killed"}}"#
                ),
            ),
            (
                Failure::OutOfMemory,
                format!(
                    r#"{{"errorType":"Runtime.OutOfMemory","errorMessage":"RequestId: {id} Error: Runtime exited with error: signal: killed"}}"#
                ),
            ),
            (
                Failure::ResponseTooLarge,
                r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#.to_owned(),
            ),
        ] {
            assert_eq!(String::from_utf8(failure.body(id)).unwrap(), expected);
        }
    }
}
