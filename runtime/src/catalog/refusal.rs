//! [`Refusal`]: why a request is not done, in Lambda's words.

use super::{UNZIPPED_LIMIT, ZIPPED_LIMIT};
use crate::model::FunctionReferenceError;

/// Which of Lambda's exceptions it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// `ValidationException`.
    Validation,
    /// `InvalidParameterValueException`.
    InvalidParameter,
    /// `InvalidRequestContentException`.
    InvalidContent,
    /// `ResourceNotFoundException`.
    NotFound,
    /// `ProvisionedConcurrencyConfigNotFoundException`.
    NotProvisioned,
    /// `ResourceConflictException`.
    Conflict,
    /// `PreconditionFailedException`.
    Precondition,
    /// `RequestEntityTooLargeException`.
    TooLarge,
    /// `ServiceException`: not the caller's fault.
    Service,
}

/// A request that is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) message: String,
    /// Which member of the request it is about, such as `MemorySize`, if it is one.
    pub(crate) member: Option<String>,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            member: None,
        }
    }

    /// The same, about this member of the request.
    pub(crate) fn about(self, member: &str) -> Self {
        Self {
            member: Some(member.to_owned()),
            ..self
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::InvalidParameter, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Conflict, message)
    }

    pub(crate) fn service(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Service, message)
    }

    /// The form that all violations of the API's model have. A part of a member is
    /// `ephemeralStorage.size`.
    pub(crate) fn constraint(value: &str, member: &str, rule: &str) -> Self {
        let whole = member.split('.').next().unwrap_or(member);
        let (first, rest) = whole.split_at(whole.len().min(1));
        let refusal = Self::new(
            RefusalKind::Validation,
            format!(
                "1 validation error detected: Value '{value}' at '{member}' failed to satisfy \
                 constraint: {rule}"
            ),
        );
        refusal.about(&(first.to_ascii_uppercase() + rest))
    }

    pub(crate) fn function(arn: &str) -> Self {
        Self::not_found(format!("Function not found: {arn}"))
    }

    pub(crate) fn revision() -> Self {
        Self::new(
            RefusalKind::Precondition,
            "The Revision Id provided does not match the latest Revision Id. Call the \
             GetFunction/GetAlias API to retrieve the latest Revision Id",
        )
    }

    pub(crate) fn unzipped() -> Self {
        Self::invalid(format!(
            "Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes"
        ))
    }

    pub(crate) fn zipped() -> Self {
        Self::new(
            RefusalKind::TooLarge,
            format!("Zipped size must be smaller than {ZIPPED_LIMIT} bytes"),
        )
    }

    pub(crate) fn body(reason: &str) -> Self {
        Self::new(
            RefusalKind::InvalidContent,
            format!("Could not parse request body into json: {reason}"),
        )
    }
}

impl From<FunctionReferenceError> for Refusal {
    fn from(error: FunctionReferenceError) -> Self {
        let kind = match error {
            FunctionReferenceError::Qualifiers => RefusalKind::InvalidParameter,
            _ => RefusalKind::Validation,
        };
        Self::new(kind, error.to_string())
    }
}
