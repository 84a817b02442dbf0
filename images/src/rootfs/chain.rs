//! [`Chain`]: the layers of an image in their order, and the EROFS image of the
//! root file system that they make together with the skeleton.

use crate::digest::Hasher;
use crate::erofs::{self, Device};
use crate::error::{Error, Result, quoted_path};
use crate::import::{Content, Ingested};
use crate::store::layout::{Layout, read_small};
use crate::store::record::{self, ErofsRecord, TarRecord};
use crate::tree::Tree;
use crate::tree::index::LayerIndex;
use crate::{Digest, rootfs};

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

/// An EROFS image that is not in the store yet.
#[derive(Debug)]
pub(crate) struct BuiltRoot {
    pub(crate) chain: Digest,
    pub(crate) image: Vec<u8>,
    pub(crate) record: ErofsRecord,
}

impl Chain {
    pub(crate) fn new(diff_ids: &[Digest]) -> Self {
        let mut hasher = Hasher::default();
        let versions = format!("erofs {} {}\n", erofs::VERSION, rootfs::skeleton::VERSION);
        hasher.update(versions.as_bytes());
        for diff_id in diff_ids {
            hasher.update(format!("{diff_id}\n").as_bytes());
        }
        Self {
            diff_ids: diff_ids.to_vec(),
            digest: hasher.finish(),
        }
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The record of the root file system, if the store has it.
    pub(crate) fn stored(&self, layout: &Layout) -> Option<ErofsRecord> {
        record::read(&layout.erofs_record(&self.digest))
            .filter(|_| layout.erofs(&self.digest).is_file())
    }

    /// Merges the layers, those just read and those of the store.
    pub(crate) fn tree(&self, layout: &Layout, ingested: &[Ingested]) -> Result<Tree> {
        let mut tree = Tree::new();
        for (diff_id, layer) in self.diff_ids.iter().zip(1..) {
            let fresh = ingested
                .iter()
                .find_map(|ingested| match &ingested.content {
                    Some(Content::Tar { index, .. }) if ingested.diff_id == *diff_id => Some(index),
                    _ => None,
                });
            let index = match fresh {
                Some(index) => index.clone(),
                None => stored_index(layout, diff_id)?,
            };
            tree.apply(layer, index)
                .map_err(|error| error.within(&format!("layer {diff_id}")))?;
        }
        Ok(tree)
    }

    /// Builds the EROFS image.
    pub(crate) fn build(&self, layout: &Layout, ingested: &[Ingested]) -> Result<BuiltRoot> {
        let mut tree = self.tree(layout, ingested)?;
        let warnings = rootfs::skeleton::warnings(&tree.not_directories());
        let above = u32::try_from(self.diff_ids.len() + 1)
            .map_err(|_| Error::limit("the image has too many layers"))?;
        tree.apply_skeleton(above)?;
        let mut devices: Vec<Device> = Vec::new();
        let mut device_of = Vec::new();
        for diff_id in &self.diff_ids {
            let known = devices.iter().position(|device| device.diff_id == *diff_id);
            let slot = known.unwrap_or(devices.len());
            if known.is_none() {
                let size = tar_size(layout, ingested, diff_id);
                devices.push(Device {
                    diff_id: *diff_id,
                    size,
                });
            }
            // An image has at most some hundred layers.
            device_of.push(u16::try_from(slot + 1).unwrap_or(u16::MAX));
        }
        let image = erofs::build(&tree, &devices, &device_of)?;
        let devices = devices.iter().map(|device| device.diff_id).collect();
        Ok(BuiltRoot {
            chain: self.digest,
            record: ErofsRecord::new(Digest::of(&image), devices, warnings),
            image,
        })
    }
}

fn tar_size(layout: &Layout, ingested: &[Ingested], diff_id: &Digest) -> u64 {
    let fresh = ingested
        .iter()
        .find(|ingested| ingested.diff_id == *diff_id)
        .map(|ingested| ingested.size);
    let stored = || record::read::<TarRecord>(&layout.tar_record(diff_id)).map(|r| r.size);
    fresh.or_else(stored).unwrap_or_default()
}

/// The index of a layer in the store. One that is damaged loses its record, so
/// that the next import makes it again.
fn stored_index(layout: &Layout, diff_id: &Digest) -> Result<LayerIndex> {
    let path = layout.index_of(diff_id);
    let record: Option<TarRecord> = record::read(&layout.tar_record(diff_id));
    let bytes = read_small(&path, INDEX_MAX)?.unwrap_or_default();
    record
        .filter(|record| record.index == Digest::of(&bytes))
        .and_then(|_| LayerIndex::from_bytes(&bytes))
        .ok_or_else(|| {
            let _gone_already = std::fs::remove_file(layout.tar_record(diff_id));
            Error::invalid(format!(
                "the store's index {} is damaged; it was dropped, so import the image again",
                quoted_path(&path)
            ))
        })
}
