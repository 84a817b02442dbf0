//! [`Ingested`]: a verified layer on its way into the store.

use std::path::PathBuf;

use super::layout::private_file;
use crate::Digest;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::tree::index::LayerIndex;

/// A verified layer in a staging directory.
#[derive(Debug)]
pub(crate) struct Ingested {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    /// None if the blob is not kept.
    pub(crate) blob: Option<PathBuf>,
    /// None if the store has the content already.
    pub(crate) content: Option<Content>,
    /// Bytes of the tar stream.
    pub(crate) size: u64,
    pub(crate) warnings: Vec<String>,
}

/// The content of a layer, ready to be moved into the store.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) place: Place,
    pub(crate) index: StagedIndex,
}

/// The index of a layer in a staging directory: held in memory only while it is used.
#[derive(Debug)]
pub(crate) struct StagedIndex {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
}

impl StagedIndex {
    /// Writes an index to a new file.
    pub(crate) fn new(path: PathBuf, index: &LayerIndex) -> Result<Self> {
        let file = private_file(&path).doing(|| format!("writing {}", quoted_path(&path)))?;
        let digest = index.write(file)?;
        Ok(Self { path, digest })
    }

    pub(crate) fn read(&self) -> Result<LayerIndex> {
        let bytes = std::fs::read(&self.path);
        let bytes = bytes.doing(|| format!("reading {}", quoted_path(&self.path)))?;
        LayerIndex::from_bytes(bytes)
            .ok_or_else(|| Error::invalid("the index of a layer was changed in the meantime"))
    }
}

/// Where the content is, in one of the two forms.
#[derive(Debug)]
pub(crate) enum Place {
    Directory(PathBuf),
    Tar(PathBuf),
}
