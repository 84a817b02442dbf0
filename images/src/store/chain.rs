//! [`Chain`]: the layers of an image in their order, what the store has made of
//! them together, and the tree that they make.

use super::ingested::{Content, Ingested};
use super::layout::{Layout, read_small};
use super::record::{self, ErofsRecord, JointRecord};
use super::stored;
use crate::digest::Hasher;
use crate::error::{Error, Result, quoted_path};
use crate::tree::index::LayerIndex;
use crate::tree::{Tree, joint, skeleton};
use crate::{Digest, Form, erofs};

/// Largest index of a layer that is read, in bytes: some for every entry that an
/// image may have.
const INDEX_MAX: u64 = 1024 * 1024 * 1024;

/// Layers by diff ID, base first.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    diff_ids: Vec<Digest>,
    /// Names the root file system: two images with the same layers share it.
    digest: Digest,
}

impl Chain {
    pub(crate) fn new(diff_ids: &[Digest]) -> Self {
        let mut hasher = Hasher::default();
        let (erofs, joint, skeleton) = (erofs::VERSION, joint::VERSION, skeleton::VERSION);
        hasher.update(format!("erofs {erofs} joint {joint} skeleton {skeleton}\n").as_bytes());
        for diff_id in diff_ids {
            hasher.update(format!("{diff_id}\n").as_bytes());
        }
        Self {
            diff_ids: diff_ids.to_vec(),
            digest: hasher.finish(),
        }
    }

    pub(crate) fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// True if the store has what the layers make together in this form.
    pub(crate) fn is_stored(&self, layout: &Layout, form: Form) -> bool {
        match form {
            Form::Erofs => self.erofs(layout).is_some(),
            Form::Directory => self.joint(layout).is_some(),
        }
    }

    /// What is odd about the root file system of this form, one line each; nothing
    /// if the store does not have it.
    pub(crate) fn warnings(&self, layout: &Layout, form: Form) -> Vec<String> {
        let warnings = match form {
            Form::Erofs => self.erofs(layout).map(|record| record.warnings),
            Form::Directory => self.joint(layout).map(|record| record.warnings),
        };
        warnings.unwrap_or_default()
    }

    /// The record of the EROFS image, if the store has it.
    pub(crate) fn erofs(&self, layout: &Layout) -> Option<ErofsRecord> {
        record::read(&layout.erofs_record(&self.digest))
            .filter(|_| layout.erofs(&self.digest).is_file())
    }

    /// The record of the joint, if the store has that.
    pub(crate) fn joint(&self, layout: &Layout) -> Option<JointRecord> {
        record::read(&layout.joint_record(&self.digest)).filter(|record: &JointRecord| {
            !record.has_directory || layout.joint(&self.digest).is_dir()
        })
    }

    /// The number of the skeleton, as a layer on top of these.
    pub(crate) fn skeleton_layer(&self) -> Result<u32> {
        u32::try_from(self.diff_ids.len() + 1)
            .map_err(|_| Error::limit("the image has too many layers"))
    }

    /// Merges the layers, those just read and those of the store.
    pub(crate) fn tree(&self, layout: &Layout, ingested: &[Ingested]) -> Result<Tree> {
        self.tree_with(layout, ingested, |_| Ok(()))
    }

    /// The same, and shows each layer's index to `see`, base first.
    pub(crate) fn tree_with(
        &self,
        layout: &Layout,
        ingested: &[Ingested],
        mut see: impl FnMut(&LayerIndex) -> Result<()>,
    ) -> Result<Tree> {
        let mut tree = Tree::new();
        for (diff_id, layer) in self.diff_ids.iter().zip(1..) {
            let index = match fresh(ingested, diff_id) {
                Some(content) => content.index.read()?,
                None => stored_index(layout, diff_id)?,
            };
            see(&index)?;
            tree.apply(layer, &index)
                .map_err(|error| error.within(&format!("layer {diff_id}")))?;
        }
        Ok(tree)
    }
}

/// The content of a layer that was just read.
pub(crate) fn fresh<'a>(ingested: &'a [Ingested], diff_id: &Digest) -> Option<&'a Content> {
    ingested
        .iter()
        .filter(|layer| layer.diff_id == *diff_id)
        .find_map(|layer| layer.content.as_ref())
}

/// The index of a layer in the store. One that is damaged loses its records, so
/// that the next import makes it again.
fn stored_index(layout: &Layout, diff_id: &Digest) -> Result<LayerIndex> {
    let path = layout.index_of(diff_id);
    let bytes = read_small(&path, INDEX_MAX)?.unwrap_or_default();
    stored::index(layout, diff_id)
        .contains(&Digest::of(&bytes))
        .then(|| LayerIndex::from_bytes(bytes))
        .flatten()
        .ok_or_else(|| {
            for record in [layout.tar_record(diff_id), layout.layer_record(diff_id)] {
                let _gone_already = std::fs::remove_file(record);
            }
            Error::invalid(format!(
                "the store's index {} is damaged; it was dropped, so import the image again",
                quoted_path(&path)
            ))
        })
}
