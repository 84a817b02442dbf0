//! [`LayerIndex`]: a layer's entries and where their content is in its tar
//! stream: all that it takes to merge the layer into a tree, without its bytes.

use serde::{Deserialize, Serialize};

use super::Extents;
use crate::error::{Error, Result};
use crate::unpack::entry::Action;

/// Version of the format on disk.
const VERSION: u32 = 1;

/// The entries of a layer, in the order of its tar stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerIndex {
    version: u32,
    pub(crate) entries: Vec<Entry>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) action: Action,
    /// For regular files.
    pub(crate) extents: Option<Extents>,
}

impl LayerIndex {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self {
            version: VERSION,
            entries,
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        postcard::to_allocvec(self)
            .map_err(|error| Error::invalid(format!("cannot encode a layer's index: {error}")))
    }

    /// Decodes what [`Self::to_bytes`] made; `None` if it is damaged or of another
    /// version.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let index: Self = postcard::from_bytes(bytes).ok()?;
        (index.version == VERSION).then_some(index)
    }
}
