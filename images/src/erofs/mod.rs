//! The EROFS form of an image: one small file of metadata, mounted together with
//! the raw tar streams of the layers. Nothing is unpacked; mounting costs the
//! same whatever the number of files, and removing an image is a few unlinks.
//!
//! Needs a kernel that mounts EROFS from plain files (Linux 6.12 and later) and
//! the right to mount; where either is missing, layers are unpacked instead.

mod chunks;
mod format;
mod image;
pub(crate) mod mount;
mod ordered;
mod tail;

pub(crate) use self::image::{Device, write};
pub(crate) use self::tail::Tail;

/// Changes whenever the same layers would give another image.
pub(crate) const VERSION: u32 = 1;
