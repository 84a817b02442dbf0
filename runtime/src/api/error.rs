//! The error answers of the Runtime API, with Lambda's statuses and texts.

use hyper::StatusCode;

use super::respond::error_body;
use crate::model::{MAX_RESPONSE_BYTES, StateTransitionError};

/// A refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// The request id is not that of the current invocation, or it is answered.
    InvalidRequestId,
    /// The echoed invocation id is another attempt's.
    InvalidInvocationId,
    /// Not allowed in this state.
    State(StateTransitionError),
    /// The body was shorter than announced.
    Truncated,
    /// Not a response mode.
    InvalidResponseMode,
    /// More than Lambda accepts as a buffered response.
    TooLarge,
    /// No such path, or not this method.
    NotFound,
    /// The environment is over: the runtime must exit.
    Gone,
}

impl ApiError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequestId
            | Self::InvalidInvocationId
            | Self::Truncated
            | Self::InvalidResponseMode => StatusCode::BAD_REQUEST,
            Self::State(_) => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn error_type(self) -> &'static str {
        match self {
            Self::InvalidRequestId => "InvalidRequestID",
            Self::InvalidInvocationId => "InvalidInvocationId",
            Self::State(_) => "InvalidStateTransition",
            Self::Truncated => "TruncatedHTTPRequest",
            Self::InvalidResponseMode => "InvalidFunctionResponseMode",
            Self::TooLarge => "RequestEntityTooLarge",
            Self::NotFound => "NotFound",
            Self::Gone => "InternalServerError",
        }
    }

    pub(crate) fn message(self) -> String {
        match self {
            Self::InvalidRequestId => "Invalid request ID".to_owned(),
            Self::InvalidInvocationId => "Invalid invocation ID".to_owned(),
            Self::State(error) => error.to_string(),
            Self::Truncated => "HTTP request detected as truncated".to_owned(),
            Self::InvalidResponseMode => "Invalid function response mode".to_owned(),
            Self::TooLarge => {
                format!("Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes).")
            }
            Self::NotFound => "Not found".to_owned(),
            Self::Gone => "Internal Server Error".to_owned(),
        }
    }

    pub(crate) fn body(self) -> String {
        error_body(&self.message(), self.error_type())
    }
}
