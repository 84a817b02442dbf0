//! An OCI image layout in a tar file.

use std::io::Read;
use std::path::Path;

use super::archive::{Archive, not_an_archive};
use super::oci_layout::blob_name;
use super::{Source, check_layout_version, choose_tagged, missing_blob, wrong_size};
use crate::Platform;
use crate::error::Result;
use crate::manifest::Descriptor;

pub(super) struct OciArchive {
    archive: Archive,
    tag: Option<String>,
}

impl OciArchive {
    pub(super) fn open(path: &Path, tag: Option<String>) -> Result<Self> {
        Self::new(Archive::open(path)?, tag)
    }

    pub(super) fn new(archive: Archive, tag: Option<String>) -> Result<Self> {
        let version = archive
            .json("oci-layout")?
            .ok_or_else(|| not_an_archive(archive.path(), "it has no oci-layout file, so it is no OCI archive, or truncated; give the path alone to \
                     have the kind found out"))?;
        check_layout_version(&version)?;
        Ok(Self { archive, tag })
    }
}

impl Source for OciArchive {
    fn root(&self, platform: &Platform) -> Result<Descriptor> {
        let index = self.archive.json("index.json")?.ok_or_else(|| {
            not_an_archive(
                self.archive.path(),
                "it has no index.json, perhaps it is truncated",
            )
        })?;
        choose_tagged(&index, self.tag.as_deref(), platform)
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let (reader, size) = self
            .archive
            .member(&blob_name(&blob.digest))?
            .ok_or_else(|| missing_blob(&blob.digest))?;
        if size != blob.size {
            return Err(wrong_size(&blob.digest, size, blob.size));
        }
        Ok(Box::new(reader))
    }
}
