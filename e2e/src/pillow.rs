//! Pillow from its registry, as a layer would have it, for the Python of the images.

use std::path::{Path, PathBuf};

use lambent_images::Platform;
use lambent_images::writer::{ImageBuilder, LayerBuilder};

use crate::{fixtures, python_layer};

/// Its version; what it installs is cached beside the fixtures.
const VERSION: &str = "12.0.0";

/// A directory with `python/PIL`.
///
/// # Panics
/// If it cannot be installed.
pub fn layer() -> PathBuf {
    python_layer::layer("pillow", VERSION, "manylinux_2_28").expect("Pillow from PyPI")
}

/// Writes an image that stands for Lambda's Python runtime: the runtime client in
/// `/var/runtime`, and layers on the path as Lambda's own runtime puts them there.
///
/// # Panics
/// If it cannot be written.
pub fn runtime_image(directory: &Path) -> String {
    marked_runtime_image(directory, "")
}

/// The same, as another image for each mark, which its functions have as `MARK`.
///
/// # Panics
/// If it cannot be written.
pub fn marked_runtime_image(directory: &Path, mark: &str) -> String {
    let [base, python] = fixtures::python_trees();
    let client = python.join("var/task");
    let file = directory.join("python-runtime.tar");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/usr/bin/python3", "-m", "awslambdaric"])
        .env("PYTHONPATH", "/var/runtime:/opt/python")
        .env("MARK", mark)
        .layer(LayerBuilder::new().tree("", base))
        .layer(LayerBuilder::new().tree("", python))
        .layer(LayerBuilder::new().tree("var/runtime", client))
        .layer(LayerBuilder::new().directory("opt", 0o755))
        .write_oci_archive(&file, "latest")
        .expect("an image");
    format!("oci-archive:{}", file.display())
}
