//! OCI images for Lambent: from a reference to a directory that can be mounted.
//!
//! ```text
//! ImageReference ─► Source ─► ContentStore::import ─► Image ─► ContentStore::rootfs ─► Rootfs ─► overlay::mount
//! ```
//!
//! The crate knows images and files, nothing of Lambda beyond the limits that
//! Lambda sets for an image. Everything that comes out of an image is untrusted:
//! digests are checked while streaming, names never become paths that the kernel
//! resolves freely, and a failed or killed import leaves nothing behind.
//!
//! Unpacking keeps the owners that an image names, and whiteouts are device
//! nodes, so imports run as root.

mod config;
mod digest;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod import;
mod manifest;
mod platform;
mod progress;
mod reference;
mod rootfs;
mod source;
mod store;
mod tarball;
mod unique;
mod unpack;
pub mod writer;

pub use crate::config::ImageConfig;
pub use crate::digest::Digest;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::image::{Image, Layer};
pub use crate::platform::Platform;
pub use crate::progress::{LayerProgress, NoProgress, Progress};
pub use crate::reference::ImageReference;
pub use crate::rootfs::{FileKind, Rootfs, overlay, skeleton};
pub use crate::store::ContentStore;
