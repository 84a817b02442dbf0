//! What it means for Lambda that an image cannot be brought into the store.

use lambent_images::ErrorKind;

use super::Finding;
use super::catalogue::{IMAGE_SIZE, UNUSABLE_IMAGE, WRONG_ARCHITECTURE};

/// The finding that an image is which was refused; `None` where the refusal says
/// nothing about the image, but about this machine, the way there, or the file that it
/// comes in.
pub(crate) fn of_unusable(error: &lambent_images::Error) -> Option<Finding> {
    if error.is_of_file() {
        return None;
    }
    let rule = match error.kind() {
        ErrorKind::ImageTooLarge => &IMAGE_SIZE,
        ErrorKind::WrongPlatform => &WRONG_ARCHITECTURE,
        ErrorKind::Invalid
        | ErrorKind::Unsupported
        | ErrorKind::LimitExceeded
        | ErrorKind::UnsafePath
        | ErrorKind::DigestMismatch => &UNUSABLE_IMAGE,
        _ => return None,
    };
    Some(Finding::new(rule, error.to_string()))
}
