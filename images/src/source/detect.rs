//! What a bare path is: found out by looking at it.

use std::path::Path;

use super::archive::{Archive, not_an_archive};
use super::docker_archive::DockerArchive;
use super::oci_archive::OciArchive;
use super::oci_layout::OciLayout;
use super::{Source, cannot_open};
use crate::error::Result;

/// Opens a directory as an OCI layout, and a file as the archive that it is.
pub(super) fn open(path: &Path) -> Result<Box<dyn Source>> {
    let metadata = path.metadata().map_err(|error| cannot_open(path, error))?;
    if metadata.is_dir() {
        if path.join("oci-layout").symlink_metadata().is_err() {
            return Err(not_an_archive(path, "the directory has no oci-layout file"));
        }
        return Ok(Box::new(OciLayout::open(path, None)?));
    }
    archive(Archive::open(path)?)
}

/// Opens an archive as what is in it.
///
/// Archives of Docker 25 and later are both kinds at once; the OCI side has the
/// manifest with its true digest, so it is preferred.
pub(super) fn archive(archive: Archive) -> Result<Box<dyn Source>> {
    if archive.json("oci-layout")?.is_some() {
        return Ok(Box::new(OciArchive::new(archive, None)?));
    }
    if archive.json("manifest.json")?.is_some() {
        return Ok(Box::new(DockerArchive::new(archive, None)?));
    }
    Err(not_an_archive(
        archive.path(),
        "the archive has neither an oci-layout nor a manifest.json, or is truncated",
    ))
}
