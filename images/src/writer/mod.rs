//! Writes real images: the demo function's, and the fixtures of the tests.
//!
//! The same input gives the same bytes: entries are sorted and times are zero,
//! unless they come from a tree on disk.
//!
//! ```no_run
//! # use lambent_images::{Platform, writer::{ImageBuilder, LayerBuilder}};
//! let layer = LayerBuilder::new().file("bootstrap", 0o755, "#!/bin/sh\n");
//! ImageBuilder::new(Platform::host())
//!     .entrypoint(["/bootstrap"])
//!     .layer(layer)
//!     .write_oci_archive("image.tar".as_ref(), "latest")?;
//! # Ok::<(), lambent_images::Error>(())
//! ```

mod hashed;
mod image;
mod layer;
mod output;

pub use self::hashed::Hashed;
pub use self::image::ImageBuilder;
pub use self::layer::{Compression, LayerBuilder};
