//! The crate's error: opaque outside, with a small [`ErrorKind`] to decide on.
//!
//! Messages are lower-case fragments that read after "failed to"; they name the
//! thing, the rule and what to do. Every name that comes from an image is passed
//! through [`quoted`], so that no control byte reaches a terminal or a log.

use std::io;

/// What went wrong while an image was read, stored or mounted.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    /// See [`Error::is_of_file`].
    of_file: bool,
    #[source]
    source: Option<io::Error>,
}

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`], for callers that decide on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file, tag or blob does not exist.
    NotFound,
    /// The thing exists and is not a container image.
    NotAnImage,
    /// The image, or a reference to it, breaks a rule of its format.
    Invalid,
    /// Bytes do not have the digest that they were announced with.
    DigestMismatch,
    /// A size or count is beyond what Lambda or Lambent accepts.
    LimitExceeded,
    /// The layers are larger than Lambda takes, all together.
    ImageTooLarge,
    /// A layer tries to write outside of its root.
    UnsafePath,
    /// The image, or this host, needs something that Lambent cannot do.
    Unsupported,
    /// The image is for another operating system or architecture.
    WrongPlatform,
    /// The image is in use, so it cannot be removed.
    InUse,
    /// Several images have what was asked for.
    Ambiguous,
    /// The caller wanted it to stop; see [`crate::Interrupt`].
    Interrupted,
    /// A registry or daemon wants other credentials, or none are enough.
    Denied,
    /// A registry or daemon cannot be reached, or does not keep to the protocol.
    Unreachable,
    /// The operating system refused a call.
    Io,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True if what the image comes in cannot be read or was damaged on the way, which
    /// says nothing of the image: an archive that was cut off or is compressed in another
    /// way, a blob that is missing or does not have its digest.
    pub fn is_of_file(&self) -> bool {
        self.of_file
    }

    /// The same, about what an image comes in.
    pub(crate) fn of_file(self) -> Self {
        Self {
            of_file: true,
            ..self
        }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            of_file: false,
            source: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    /// Wraps an operating system error in what was being done.
    ///
    /// An [`Error`] that travelled through [`io::Read`] comes out as itself.
    pub(crate) fn io(doing: impl FnOnce() -> String, error: impl Into<io::Error>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self {
                kind: ErrorKind::Io,
                message: doing(),
                of_file: false,
                source: Some(error),
            },
        }
    }

    /// Puts `context` in front of the message.
    pub(crate) fn within(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

/// Carries an [`Error`] through code that speaks [`io::Error`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// Adds "what was being done" to operating system errors.
pub(crate) trait IoContext<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::io(doing, error))
    }
}

/// Longest piece of a foreign name that a message repeats, in characters.
const QUOTED_MAX: usize = 200;

/// A name from outside, in quotes, with control and invisible characters escaped.
pub(crate) fn quoted(name: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(name.as_ref());
    let mut out = String::from("\"");
    for (count, character) in text.chars().enumerate() {
        if count == QUOTED_MAX {
            out.push('…');
            break;
        }
        out.extend(character.escape_debug());
    }
    out.push('"');
    out
}

/// [`quoted`] for a path.
pub(crate) fn quoted_path(path: &std::path::Path) -> String {
    quoted(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_never_reach_a_message() {
        let shown = quoted(b"a\x1b]52;c;\x07\r\n\xff\xe2\x80\xae");
        assert!(shown.chars().all(|c| !c.is_control()), "{shown}");
        assert!(!shown.contains('\u{202e}'), "{shown}");
        assert!(quoted("x".repeat(10_000)).len() < 300);
    }

    #[test]
    fn an_error_survives_its_trip_through_io() {
        let inner: io::Error = Error::limit("too much").into();
        let outer = Error::io(|| "reading".to_owned(), inner);
        assert_eq!(outer.kind(), ErrorKind::LimitExceeded);
        assert_eq!(outer.to_string(), "too much");
    }
}
