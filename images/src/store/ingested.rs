//! [`Ingested`]: a verified layer on its way into the store.

use std::path::PathBuf;

use crate::Digest;
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
    pub(crate) index: LayerIndex,
}

/// Where the content is, in one of the two forms.
#[derive(Debug)]
pub(crate) enum Place {
    Directory(PathBuf),
    Tar(PathBuf),
}
