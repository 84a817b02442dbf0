//! What the Extensions API refuses, with Lambda's types and texts. All of it is
//! answered with 403.

use std::fmt;

use uuid::Uuid;

use super::extension_state::ExtensionTransitionError;

/// A refused call of the Extensions API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtensionError {
    /// `register` without a name.
    EmptyName,
    /// `register` with a body that is not one; the text says why.
    InvalidRequest(String),
    /// An event that there is not.
    InvalidEvent(String),
    /// An internal extension asked for SHUTDOWN.
    InternalShutdown,
    /// Not allowed in the state of the extension, which is named as Lambda does:
    /// by its name in `register`, else by its identifier.
    State(ExtensionTransitionError, String),
    /// An internal extension has this name already.
    NameTaken,
    /// The runtime has asked for its first event.
    RegistrationClosed,
    /// There are as many as there may be.
    TooMany,
    /// No identifier came along.
    MissingIdentifier,
    /// Not an identifier.
    InvalidIdentifier,
    /// Nobody's identifier, where an event was asked for.
    UnknownExtension(Uuid),
    /// Nobody's identifier, where an error was reported.
    UnknownIdentifier,
    /// An error without its type.
    MissingErrorType,
}

/// Most extensions of an environment, internal ones included.
pub const MAX_EXTENSIONS: usize = 10;

impl ExtensionError {
    /// Lambda's `errorType`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::EmptyName => "Extension.InvalidExtensionName",
            Self::InvalidRequest(_) => "InvalidRequestFormat",
            Self::InvalidEvent(_) | Self::InternalShutdown => "Extension.InvalidEventType",
            Self::State(..) | Self::NameTaken => "Extension.InvalidExtensionState",
            Self::RegistrationClosed => "Extension.RegistrationClosed",
            Self::TooMany => "Extension.TooManyExtensions",
            Self::MissingIdentifier => "Extension.MissingExtensionIdentifier",
            Self::InvalidIdentifier => "Extension.InvalidExtensionIdentifier",
            Self::UnknownExtension(_) | Self::UnknownIdentifier => {
                "Extension.UnknownExtensionIdentifier"
            }
            Self::MissingErrorType => "Extension.MissingHeader",
        }
    }
}

impl fmt::Display for ExtensionError {
    /// Lambda's `errorMessage`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => formatter.write_str("Empty extension name"),
            Self::InvalidRequest(reason) => formatter.write_str(reason),
            Self::InvalidEvent(event) => write!(formatter, "{event}: ErrorInvalidEventType"),
            Self::InternalShutdown => {
                formatter.write_str("SHUTDOWN: ShutdownEventNotSupportedForInternalExtension")
            }
            Self::State(ExtensionTransitionError { from, to }, subject) => write!(
                formatter,
                "State transition from {from} to {to} failed for extension {subject}. \
                 Error: State transition is not allowed"
            ),
            Self::NameTaken => formatter.write_str("Extension with this name already registered"),
            Self::RegistrationClosed => {
                formatter.write_str("Extension registration closed already")
            }
            Self::TooMany => write!(formatter, "Extension limit ({MAX_EXTENSIONS}) reached"),
            Self::MissingIdentifier => {
                formatter.write_str("Missing Lambda-Extension-Identifier header")
            }
            Self::InvalidIdentifier => formatter.write_str("Invalid Lambda-Extension-Identifier"),
            Self::UnknownExtension(id) => write!(formatter, "Unknown extension {id}"),
            Self::UnknownIdentifier => formatter.write_str("Unknown Lambda-Extension-Identifier"),
            Self::MissingErrorType => {
                formatter.write_str("Lambda-Extension-Function-Error-Type not found")
            }
        }
    }
}

impl std::error::Error for ExtensionError {}
