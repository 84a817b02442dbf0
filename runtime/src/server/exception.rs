//! Lambda's own errors: a status, a name in a header, and a body.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::asynchronous::Refused;
use crate::catalog::{Refusal, RefusalKind};
use crate::pool::{PoolError, Throttle};

/// An error of the service, as SDKs make exceptions of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) status: StatusCode,
    /// The header `x-amzn-ErrorType`.
    pub(crate) name: &'static str,
    pub(crate) body: Value,
    /// The header `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Exception {
    fn new(status: StatusCode, name: &'static str, body: Value) -> Self {
        Self {
            status,
            name,
            body,
            retry_after: None,
        }
    }

    fn user(status: StatusCode, name: &'static str, message: &str) -> Self {
        Self::new(status, name, json!({"Type": "User", "message": message}))
    }

    /// No such operation.
    pub(crate) fn unknown_operation() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "UnknownOperationException",
            json!({"Type": "User", "Message": "Lambent has no such operation"}),
        )
    }

    /// The event is not JSON.
    pub(crate) fn invalid_json(reason: &str) -> Self {
        Self::user(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            &format!(
                "Could not parse request body into json: Could not parse payload into json: {reason}"
            ),
        )
    }

    /// A parameter has a form that Lambda does not accept.
    pub(crate) fn validation(message: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "ValidationException",
            json!({"message": message}),
        )
    }

    /// A parameter has a value that Lambda does not accept.
    pub(crate) fn invalid_parameter(message: &str) -> Self {
        Self::user(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            message,
        )
    }

    /// The event is larger than `limit` bytes.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message =
            format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            json!({"Message": message}),
        )
    }

    /// Too many invocations at once.
    pub(crate) fn throttled(reason: Throttle) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsException",
                json!({"Reason": reason.reason(), "Type": "User", "message": "Rate Exceeded."}),
            )
        }
    }

    /// Lambent's own fault, or the host's.
    pub(crate) fn service(message: &str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ServiceException",
            json!({"Type": "Service", "Message": message}),
        )
    }
}

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.message.as_str();
        let user = |status, name| Self::user(status, name, message);
        match refusal.kind {
            RefusalKind::Validation => Self::validation(message),
            RefusalKind::InvalidParameter => Self::invalid_parameter(message),
            RefusalKind::InvalidContent => {
                user(StatusCode::BAD_REQUEST, "InvalidRequestContentException")
            }
            // The key is capitalised here.
            RefusalKind::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "ResourceNotFoundException",
                json!({"Type": "User", "Message": message}),
            ),
            RefusalKind::NotProvisioned => user(
                StatusCode::NOT_FOUND,
                "ProvisionedConcurrencyConfigNotFoundException",
            ),
            RefusalKind::Conflict => user(StatusCode::CONFLICT, "ResourceConflictException"),
            RefusalKind::Precondition => user(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailedException",
            ),
            RefusalKind::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLargeException",
                json!({"Message": message}),
            ),
            RefusalKind::Service => Self::service(message),
        }
    }
}

impl From<PoolError> for Exception {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Throttled(reason) => Self::throttled(reason),
            PoolError::Service(error) => Self::service(&error.to_string()),
            PoolError::Gone(error) => Self::service(&error.to_string()),
        }
    }
}

impl From<Refused> for Exception {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        if let Refused::Disk(_) = refused {
            return Self::service(&message);
        }
        Self {
            body: json!({"Reason": "CallerRateLimitExceeded", "Type": "User", "message": message}),
            ..Self::throttled(Throttle::Account)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_lambdas() {
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST";
        assert_eq!(
            Exception::from(Refusal::function(arn)).body,
            json!({"Type": "User", "Message": format!("Function not found: {arn}")})
        );
        let throttled = Exception::throttled(Throttle::Reserved);
        assert_eq!(
            (throttled.status.as_u16(), throttled.retry_after),
            (429, Some(1))
        );
        assert_eq!(
            throttled.body.to_string(),
            r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#
        );
    }
}
