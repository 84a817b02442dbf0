//! The exit statuses, which scripts rely on.

use std::process::ExitCode;

use crate::service_error::ServiceError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// 0.
    Success,
    /// 1: the function returned or raised an error, or timed out; a case failed.
    FunctionError,
    /// 2: the command line, or a file that it names.
    Usage,
    /// 3: an image or a layer is unusable, damaged or not there.
    Image,
    /// 4: this host cannot do what was asked, or no service runs.
    Host,
    /// 5: a bug in Lambent.
    Internal,
    /// 130: ended by ctrl-C, as shells say it.
    Interrupted,
    /// That of a shell in an environment.
    OfShell(u8),
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::FunctionError => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Image => 3,
            ExitStatus::Host => 4,
            ExitStatus::Internal => 5,
            ExitStatus::Interrupted => 130,
            ExitStatus::OfShell(status) => status,
        })
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Image(String),
    #[error("{0}")]
    Host(String),
    #[error("{0} (this is a bug in Lambent)")]
    Internal(String),
    #[error("interrupted")]
    Interrupted,
    #[error("standard output is closed")]
    OutputClosed,
}

impl CommandError {
    /// The same, and what it is about.
    pub(super) fn about(self, what: &dyn std::fmt::Display) -> Self {
        let name = |reason: String| format!("{what}: {reason}");
        match self {
            Self::Usage(reason) => Self::Usage(name(reason)),
            Self::Image(reason) => Self::Image(name(reason)),
            Self::Host(reason) => Self::Host(name(reason)),
            other @ (Self::Internal(_) | Self::Interrupted | Self::OutputClosed) => other,
        }
    }

    pub(super) fn status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::Image(_) => ExitStatus::Image,
            Self::Host(_) => ExitStatus::Host,
            Self::Internal(_) => ExitStatus::Internal,
            Self::Interrupted => ExitStatus::Interrupted,
            Self::OutputClosed => ExitStatus::Success,
        }
    }
}

/// Errors of writing to standard output, which is all that commands write.
impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Host(format!("write to standard output: {error}")),
        }
    }
}

impl From<ServiceError> for CommandError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Setting(reason) => Self::Usage(reason),
            ServiceError::Image(reason) => Self::Image(reason),
            unusable @ ServiceError::Unusable(_) => Self::Image(unusable.to_string()),
            ServiceError::Host(reason) => Self::Host(reason),
            ServiceError::Interrupted => Self::Interrupted,
        }
    }
}
