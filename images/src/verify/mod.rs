//! Verification: everything in a store against what it says it is.
//!
//! Blobs are hashed, layers unpacked again and compared with what is stored,
//! records and the index checked against both. What is damaged is made not to
//! count any more, so that the next import writes it again.

mod check;
mod index;
mod joints;
mod streams;
mod tree;

use std::fmt;

use self::check::{Check, Item};
use crate::error::{IoContext, Result};
use crate::store::lock::{Lock, Mode};
use crate::store::staging::Staging;
use crate::{ContentStore, Digest, Progress};

/// What a store's verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// What is damaged; empty if all is well.
    pub findings: Vec<Finding>,
    /// Number of blobs that were read.
    pub blobs: usize,
    /// Number of those that are layers, which were unpacked and compared.
    pub layers: usize,
}

/// One damaged thing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// Which one, if it has a digest: a blob's, or a layer's diff ID.
    pub digest: Option<Digest>,
    /// What is wrong with it.
    pub what: String,
    /// Images that need it.
    pub images: Vec<Digest>,
}

/// Kinds of damaged things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The list of images, or the files that make the store an OCI layout.
    Index,
    /// A manifest, configuration or layer as received.
    Blob,
    /// An unpacked layer.
    Layer,
    /// What the store knows about a blob or layer.
    Record,
    /// The root file system that layers make together.
    Root,
    /// The layer over every image.
    Skeleton,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Blob => "blob",
            Self::Layer => "layer",
            Self::Record => "record",
            Self::Root => "root",
            Self::Skeleton => "skeleton",
        })
    }
}

impl ContentStore {
    /// Checks `images`, or everything in the store if there are none, and makes
    /// what is damaged not count, so that importing the images again repairs it.
    ///
    /// Imports and functions may run at the same time; only if there is damage,
    /// it waits until no import runs.
    ///
    /// # Errors
    ///
    /// `Io` when the store cannot be read or there is no room to unpack a layer,
    /// `Interrupted`. Damage is no error.
    pub fn verify(&self, images: &[Digest], progress: &dyn Progress) -> Result<Verification> {
        let layout = &self.layout;
        let store = Lock::acquire_for(&layout.lock("store"), Mode::Shared, progress)?;
        let entries = index::sound(layout);
        let check = Check::new(layout, &entries, progress);
        let items = check.items(&entries, images)?;
        let mut verification = Verification {
            layers: items
                .iter()
                .filter(|item| matches!(item, Item::Layer(..)))
                .count(),
            ..Verification::default()
        };
        verification.blobs = verification.layers
            + items
                .iter()
                .filter(|item| matches!(item, Item::Document(_)))
                .count();
        let mut suspects = Vec::new();
        for item in items {
            progress.interrupt().check()?;
            if !check.run(&item)?.is_empty() {
                suspects.push(item);
            }
        }
        drop(store);
        if suspects.is_empty() {
            return Ok(verification);
        }
        let _store = Lock::acquire_for(&layout.lock("store"), Mode::Exclusive, progress)?;
        let staging = Staging::new(layout)?;
        // The index last: it is made new from the documents that are whole.
        suspects.sort_by_key(|item| *item == Item::Index);
        for item in suspects {
            let findings = check.run(&item)?;
            if !findings.is_empty() {
                check.discard(&item, &findings, &staging)?;
            }
            verification.findings.extend(findings);
        }
        rustix::fs::syncfs(layout.root_fd()).doing(|| "syncing the image store".to_owned())?;
        Ok(verification)
    }
}
