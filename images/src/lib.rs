//! OCI images for Lambent: from a reference to a directory that can be mounted.
//!
//! ```text
//! ImageReference ─► Source ─► ContentStore::import ─► Image ─► ContentStore::rootfs ─► Rootfs ─► RootMount::mount
//! ```
//!
//! The crate knows images and files, nothing of Lambda beyond the limits that
//! Lambda sets for an image. Everything that comes out of an image is untrusted:
//! digests are checked while streaming, names never become paths that the kernel
//! resolves freely, and a failed or killed import leaves nothing behind.
//!
//! Layers that are unpacked for overlayfs keep the owners that an image names, and
//! whiteouts are device nodes: that form is for root. Streams are for everybody.

mod bundle;
mod config;
mod detached;
mod digest;
mod erofs;
mod error;
mod files;
mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod import;
mod interrupt;
mod manifest;
mod owners;
mod package;
mod permission;
mod platform;
mod progress;
mod reference;
mod rootfs;
mod sizes;
mod source;
mod store;
mod sys;
mod tarball;
mod tree;
mod unique;
mod unpack;
mod verify;
pub mod writer;

pub use crate::config::ImageConfig;
pub use crate::digest::Digest;
pub use crate::erofs::mount::probe as probe_erofs;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::files::{ImageFile, ImageFileKind, ImageFiles, LayerFiles, Located};
pub use crate::form::Form;
pub use crate::image::{Image, ImageIndex, Layer};
pub use crate::import::Surveyed;
pub use crate::interrupt::Interrupt;
pub use crate::owners::{Owners, set_owners};
pub use crate::package::{
    Attachment, Package, PackageLease, PackageLimits, PackageStore, zip_directory,
};
pub use crate::permission::Permission;
pub use crate::platform::Platform;
pub use crate::progress::{LayerProgress, NoProgress, Progress};
pub use crate::reference::{ImageReference, RegistryReference, registry_reference};
pub use crate::rootfs::{FileKind, RootMount, Rootfs, skeleton};
pub use crate::sizes::{ImageSizes, sizes};
pub use crate::source::{daemon_image_id, http, missing, registry_digest};
pub use crate::store::{ContentStore, ImageName, Removal, StoredDetails, StoredImage};
pub use crate::verify::{Finding, FindingKind, Verification};
