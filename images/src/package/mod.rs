//! Zip archives of functions and layers: [`PackageStore`] keeps them unpacked, by
//! digest; [`Attachment`] mounts some of them over a directory of a root.

mod archive;
mod attachment;
mod directory;
mod store;

pub use self::archive::PackageLimits;
#[cfg(feature = "fuzzing")]
pub(crate) use self::archive::unpack;
pub use self::attachment::Attachment;
pub use self::directory::zip_directory;
pub use self::store::{Package, PackageLease, PackageStore};
