//! What an import has to read: the layers that the store cannot vouch for.

use std::collections::HashSet;

use super::Origin;
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
    /// The layer's blob, as the image names it.
    pub(super) digest: Digest,
    /// What is read: that blob, or what the store has in its place.
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    /// False if the store has the content and only cannot say what the blob is.
    pub(super) wants_content: bool,
    /// Whether what is read goes into the store as it is.
    pub(super) keeps_blob: bool,
}

/// The work of one import.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) missing: Vec<Item>,
    /// Digests of the blobs of layers that the store has.
    pub(super) stored: Vec<Digest>,
    pub(super) budget: Budget,
}

impl Plan {
    pub(super) fn new(
        layout: &Layout,
        form: Form,
        origin: Origin<'_>,
        resolved: &Resolved,
    ) -> Result<Self> {
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
            let is_archived = stored::has_blob(layout, descriptor)
                || stored::size(layout, Form::Erofs, &diff_id).is_some();
            match record::read::<BlobRecord>(&layout.blob_record(&descriptor.digest)) {
                Some(blob) if blob.diff_id != diff_id => {
                    return Err(diff_id_mismatch(
                        &descriptor.digest,
                        &diff_id,
                        &blob.diff_id,
                    ));
                }
                Some(_) if stored.is_some() && is_archived => {
                    plan.budget.take_bytes(stored.unwrap_or_default())?;
                    plan.stored.push(descriptor.digest);
                }
                _ => plan.missing.push(Item {
                    digest: descriptor.digest,
                    descriptor: origin.archive(descriptor, &diff_id),
                    diff_id,
                    wants_content: layers.insert(diff_id) && stored.is_none(),
                    keeps_blob: form == Form::Directory && !origin.is_store(),
                }),
            }
        }
        // Large layers first: the last one to end is then a small one.
        plan.missing
            .sort_by_key(|item| std::cmp::Reverse(item.descriptor.size));
        Ok(plan)
    }
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
