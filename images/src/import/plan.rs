//! What an import has to read: the layers that the store cannot vouch for.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Descriptor;
use crate::source::Resolved;
use crate::store::layout::Layout;
use crate::store::record::{self, BlobRecord};
use crate::store::stored;
use crate::unpack::limits::{Budget, IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX};
use crate::{Digest, Form};

/// One layer to read.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    /// False if only the blob is missing.
    pub(super) wants_content: bool,
}

/// The work of one import.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) missing: Vec<Item>,
    pub(super) stored: Vec<Descriptor>,
    pub(super) budget: Budget,
}

impl Plan {
    pub(super) fn new(layout: &Layout, form: Form, resolved: &Resolved) -> Result<Self> {
        let mut plan = Self {
            missing: Vec::new(),
            stored: Vec::new(),
            budget: Budget::new(IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX),
        };
        let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
        for (descriptor, &diff_id) in resolved.manifest.layers.iter().zip(&resolved.diff_ids) {
            if !blobs.insert((descriptor.digest, diff_id)) {
                continue;
            }
            // Deflate may enlarge what it cannot compress, by less than this.
            if descriptor.size > IMAGE_BYTES_MAX + IMAGE_BYTES_MAX / 64 {
                plan.budget.take_bytes(u64::MAX)?;
            }
            let stored = stored::size(layout, form, &diff_id);
            match stored_blob(layout, descriptor) {
                Some(blob) if blob.diff_id != diff_id => {
                    return Err(diff_id_mismatch(
                        &descriptor.digest,
                        &diff_id,
                        &blob.diff_id,
                    ));
                }
                Some(_) if stored.is_some() => {
                    plan.budget.take_bytes(stored.unwrap_or_default())?;
                    plan.stored.push(descriptor.clone());
                }
                _ => plan.missing.push(Item {
                    descriptor: descriptor.clone(),
                    diff_id,
                    wants_content: layers.insert(diff_id) && stored.is_none(),
                }),
            }
        }
        // Large layers first: the last one to end is then a small one.
        plan.missing
            .sort_by_key(|item| std::cmp::Reverse(item.descriptor.size));
        Ok(plan)
    }
}

/// The record of a blob whose file is there.
fn stored_blob(layout: &Layout, descriptor: &Descriptor) -> Option<BlobRecord> {
    record::read(&layout.blob_record(&descriptor.digest)).filter(|_| has_blob(layout, descriptor))
}

/// True if there is a file of the right size for this blob.
pub(super) fn has_blob(layout: &Layout, descriptor: &Descriptor) -> bool {
    let metadata = layout.blob(&descriptor.digest).symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == descriptor.size)
}

pub(super) fn diff_id_mismatch(layer: &Digest, expected: &Digest, found: &Digest) -> Error {
    Error::new(
        ErrorKind::DigestMismatch,
        format!(
            "layer {layer} unpacks to the diff ID {found} and the image configuration states \
             {expected}; the image was put together wrongly"
        ),
    )
}
