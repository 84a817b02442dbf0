//! [`ServiceError`]: what commands are told, by whose fault it is.

/// What a service cannot do, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// What a function was asked to be breaks a rule of Lambda's, whatever its image.
    #[error("{0}")]
    Setting(String),
    /// The image (or a layer) is unusable.
    #[error("{0}")]
    Image(String),
    /// The image breaks a rule, whoever reads it.
    #[error("{}", with_sources(.0))]
    Unusable(lambent_images::Error),
    /// This host cannot do what was asked.
    #[error("{0}")]
    Host(String),
    /// The command was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl ServiceError {
    /// The same, and what it is about.
    #[must_use]
    pub fn about(self, what: impl std::fmt::Display) -> Self {
        match self {
            Self::Setting(reason) => Self::Setting(format!("{what}: {reason}")),
            Self::Image(reason) => Self::Image(format!("{what}: {reason}")),
            Self::Unusable(error) => Self::Image(format!("{what}: {}", with_sources(&error))),
            Self::Host(reason) => Self::Host(format!("{what}: {reason}")),
            Self::Interrupted => Self::Interrupted,
        }
    }
}

impl From<lambent_images::Error> for ServiceError {
    fn from(error: lambent_images::Error) -> Self {
        use lambent_images::ErrorKind;
        let message = with_sources(&error);
        match error.kind() {
            ErrorKind::Io | ErrorKind::InUse => Self::Host(message),
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Invalid
            | ErrorKind::NotAnImage
            | ErrorKind::DigestMismatch
            | ErrorKind::LimitExceeded
            | ErrorKind::ImageTooLarge
            | ErrorKind::UnsafePath
            | ErrorKind::Unsupported
            | ErrorKind::WrongPlatform => Self::Unusable(error),
            _ => Self::Image(message),
        }
    }
}

/// An error and what caused it, on one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
