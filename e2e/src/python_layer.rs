//! Packages from their registry, as a layer would have them, for the Python of the images.

use std::path::PathBuf;

use crate::fixtures::cache::Cache;
use crate::fixtures::{self, Error, pip, rootfs};

/// A directory with `python/` and the package in it; cached beside the fixtures.
pub(crate) fn layer(package: &str, version: &str, platform: &str) -> Result<PathBuf, Error> {
    let [_, python] = fixtures::python_trees();
    let python = rootfs::python_version(&python)?;
    let directory = fixtures::directory().join(format!("{package}-{version}-{python}"));
    // One at a time: tests are processes of their own.
    let _cache = Cache::open(&fixtures::directory())?;
    if directory.is_dir() {
        return Ok(directory);
    }
    let staging = directory.with_extension("part");
    let requirement = format!("{package}=={version}");
    let packages = ["--no-deps", &requirement];
    pip::install(&staging.join("python"), &python, &[platform], packages)?;
    std::fs::rename(staging, &directory)?;
    Ok(directory)
}
