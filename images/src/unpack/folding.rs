//! Directories where names that differ are the same: ext4 and tmpfs with case folding,
//! and file systems of other systems.
//!
//! There two entries of a layer would become one, and a link could come to stand for
//! a directory of another name. What is written by descriptor stays inside all the
//! same, but it would not be the image.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, mkdirat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};

/// A name, and others that fold to it: by case, and as Unicode's decomposed form.
const NAME: &str = ".Lambent-f\u{f6}lding";
const FOLDED: [&str; 2] = [".lambent-f\u{f6}lding", ".Lambent-fo\u{308}lding"];

/// Refuses an empty directory that folds names, by making one in it for a moment.
///
/// # Errors
///
/// `Unsupported` if it does.
pub(crate) fn refuse(directory: BorrowedFd<'_>) -> Result<()> {
    let failed = || "looking for how a directory compares names".to_owned();
    mkdirat(directory, NAME, Mode::RWXU).doing(failed)?;
    let found = FOLDED.map(|name| statat(directory, name, AtFlags::SYMLINK_NOFOLLOW));
    unlinkat(directory, NAME, AtFlags::REMOVEDIR).doing(failed)?;
    for found in found {
        match found {
            Ok(_) => {
                return Err(Error::unsupported(
                    "the directory takes names that differ only in case or in their Unicode form \
                     for the same, and images have such names; use a directory without case \
                     folding (`lsattr -d` shows F), or another file system",
                ));
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error).doing(failed),
        }
    }
    Ok(())
}
