//! Pillow from its registry, as a layer would have it, for the Python of the images.

use std::path::PathBuf;

use crate::python_layer;

/// Its version; what it installs is cached beside the fixtures.
const VERSION: &str = "12.0.0";

/// A directory with `python/PIL`.
///
/// # Panics
/// If it cannot be installed.
pub fn layer() -> PathBuf {
    python_layer::layer("pillow", VERSION, "manylinux_2_28").expect("Pillow from PyPI")
}
