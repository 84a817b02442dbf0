//! What a store has: images by name, digest or the beginning of a digest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::chain::Chain;
use super::index::{self, Entry};
use super::layout::{Layout, read_small};
use super::lock::{Lock, Mode};
use super::name::{ImageName, candidates, digest_prefix};
use super::staging::Staging;
use super::stored;
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::import::{self, Origin};
use crate::manifest::{Descriptor, Document, JSON_MAX, media_type, parse};
use crate::source::{Resolved, mismatch, wrong_size};
use crate::{ContentStore, Digest, Form, Image, NoProgress, Platform, config};

/// An image in a store, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredImage {
    /// Digest of the image manifest: the image's identity.
    pub manifest_digest: Digest,
    /// What the image is called; may be empty.
    pub names: Vec<ImageName>,
    /// When it was imported.
    pub imported: Option<SystemTime>,
    /// What it is for, if the index says so.
    pub platform: Option<Platform>,
    /// What its documents say; an error if they are damaged.
    pub details: std::result::Result<StoredDetails, String>,
}

/// The part of a [`StoredImage`] that its documents tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredDetails {
    /// When it was built, as whoever built it says.
    pub created: Option<String>,
    /// Number of layers.
    pub layers: usize,
    /// Bytes of all layers as they are transferred.
    pub compressed_size: u64,
    /// Bytes of all layers' archives; `None` if a layer is incomplete.
    pub unpacked_size: Option<u64>,
}

impl ContentStore {
    /// The images of the store, oldest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the index is damaged. A damaged image is no error: its
    /// details are.
    pub fn list(&self) -> Result<Vec<StoredImage>> {
        // Nothing is removed between the index and what it leads to.
        let _store = Lock::acquire(&self.layout.lock("store"), Mode::Shared)?;
        let entries = index::read(&self.layout)?;
        Ok(digests(&entries)
            .into_iter()
            .map(|digest| self.summary(&entries, digest))
            .collect())
    }

    fn summary(&self, entries: &[Entry], digest: Digest) -> StoredImage {
        let own = || entries.iter().filter(move |entry| entry.digest == digest);
        let imported = own().map(|entry| entry.imported).filter(|&at| at > 0).min();
        let details = own()
            .next()
            .ok_or_else(|| "it is not in the index".to_owned())
            .and_then(|entry| {
                read_image(&self.layout, &entry.digest).map_err(|error| error.to_string())
            })
            .map(|resolved| details(&self.layout, &resolved));
        StoredImage {
            manifest_digest: digest,
            names: names(entries, &digest),
            imported: imported.map(|at| UNIX_EPOCH + Duration::from_secs(at)),
            platform: own().find_map(|entry| entry.platform.clone()),
            details,
        }
    }

    /// The image that `text` stands for: a name (with `:latest` and Docker's
    /// registry implied where they are left out), a digest, or at least six
    /// hexadecimal digits that only one digest begins with.
    ///
    /// # Errors
    ///
    /// `Ambiguous` when several images fit, `NotFound` when a part of the image
    /// is gone, `DigestMismatch` when one of its documents is damaged. An image
    /// that is not in the store is `None`.
    pub fn find(&self, text: &str) -> Result<Option<Image>> {
        let _store = Lock::acquire(&self.layout.lock("store"), Mode::Shared)?;
        let entries = index::read(&self.layout)?;
        let Some(digest) = resolve(&entries, text)? else {
            return Ok(None);
        };
        let resolved = read_image(&self.layout, &digest)
            .map_err(|error| error.within(&format!("image {digest}")))?;
        if is_complete(&self.layout, self.form(), &resolved) {
            let image = import::describe(&self.layout, self.form(), &resolved);
            return Ok(Some(image));
        }
        let layers = resolved.manifest.layers.iter().zip(&resolved.diff_ids);
        for (blob, diff_id) in layers {
            // By the name that `verify` has for it.
            if stored::archive(&self.layout, blob, diff_id).is_none() {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "image {digest} is incomplete, import it again: layer {diff_id} is missing"
                    ),
                ));
            }
        }
        // What another form, or a repair, left out is made of what is here.
        let own = Origin::Store(&self.layout);
        import::bring_in(&self.layout, self.form(), own, &resolved, &NoProgress)
            .map(Some)
            .map_err(|error| {
                let advice = format!("image {digest} is incomplete, import it again");
                error.within(&advice)
            })
    }

    /// The digest of the image that `text` stands for, as in [`Self::find`], even
    /// if the image is damaged.
    ///
    /// # Errors
    ///
    /// `Ambiguous` when several images fit.
    pub fn resolve(&self, text: &str) -> Result<Option<Digest>> {
        resolve(&index::read(&self.layout)?, text)
    }

    /// The names of an image.
    pub fn names(&self, digest: &Digest) -> Result<Vec<ImageName>> {
        Ok(names(&index::read(&self.layout)?, digest))
    }

    /// Gives an image a name, and takes the name from the image that had it.
    ///
    /// # Errors
    ///
    /// `NotFound` when the image is not, or no longer, in the store.
    pub fn tag(&self, digest: &Digest, name: &ImageName) -> Result<()> {
        let _store = Lock::acquire(&self.layout.lock("store"), Mode::Shared)?;
        let staging = Staging::new(&self.layout)?;
        if index::tag(&self.layout, &staging, digest, name)? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotFound,
            format!("image {digest} is not in the store; import it again"),
        ))
    }
}

/// The digests in the index, each once, oldest first.
pub(crate) fn digests(entries: &[Entry]) -> Vec<Digest> {
    let mut seen = BTreeSet::new();
    entries
        .iter()
        .map(|entry| entry.digest)
        .filter(|digest| seen.insert(*digest))
        .collect()
}

pub(crate) fn names(entries: &[Entry], digest: &Digest) -> Vec<ImageName> {
    entries
        .iter()
        .filter(|entry| entry.digest == *digest)
        .filter_map(Entry::user_name)
        .collect()
}

/// The entry that has the name which `text` stands for.
pub(crate) fn named<'a>(entries: &'a [Entry], text: &str) -> Option<&'a Entry> {
    candidates(text).into_iter().find_map(|name| {
        entries
            .iter()
            .find(|entry| entry.name == name && entry.user_name().is_some())
    })
}

/// The image that `text` stands for.
pub(crate) fn resolve(entries: &[Entry], text: &str) -> Result<Option<Digest>> {
    if let Some(entry) = named(entries, text) {
        return Ok(Some(entry.digest));
    }
    let Some(prefix) = digest_prefix(text) else {
        return Ok(None);
    };
    let mut found = digests(entries);
    found.retain(|digest| digest.hex().starts_with(prefix));
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => Err(Error::new(
            ErrorKind::Ambiguous,
            format!(
                "{} digests of images begin with {}; give more digits of {}",
                several.len(),
                quoted(text),
                several
                    .iter()
                    .take(8)
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )),
    }
}

/// Reads an image's two documents from the store and checks them.
pub(crate) fn read_image(layout: &Layout, digest: &Digest) -> Result<Resolved> {
    let manifest_bytes = document(layout, digest, None)?;
    let Document::Manifest(parsed) = parse(&manifest_bytes, None)? else {
        return Err(Error::unsupported(
            "the store's index leads to another index, which only another program can have \
             written; import the image",
        ));
    };
    let config_bytes = document(layout, &parsed.config.digest, Some(parsed.config.size))?;
    let (config, diff_ids) = config::parse(&config_bytes)?;
    if diff_ids.len() != parsed.layers.len() {
        return Err(Error::invalid(
            "the image manifest and the configuration list different numbers of layers",
        ));
    }
    Ok(Resolved {
        descriptor: Descriptor {
            media_type: media_type(&manifest_bytes, &parsed),
            digest: *digest,
            size: manifest_bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        },
        manifest_bytes,
        manifest: parsed,
        config_bytes,
        config,
        diff_ids,
        index: None,
        warnings: Vec::new(),
    })
}

/// Reads a JSON blob of the store and checks its digest, and its size if known.
pub(crate) fn document(layout: &Layout, digest: &Digest, size: Option<u64>) -> Result<Vec<u8>> {
    let bytes = read_small(&layout.blob(digest), JSON_MAX)?.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("blob {digest} is not in the store; import the image again"),
        )
    })?;
    let found = Digest::of(&bytes);
    if found != *digest {
        return Err(mismatch(digest, &found));
    }
    match size {
        Some(size) if bytes.len() as u64 != size => {
            Err(wrong_size(digest, bytes.len() as u64, size))
        }
        _ => Ok(bytes),
    }
}

/// True if the store can vouch for all of the image, in this form.
fn is_complete(layout: &Layout, form: Form, resolved: &Resolved) -> bool {
    let layers = resolved
        .diff_ids
        .iter()
        .all(|diff_id| stored::size(layout, form, diff_id).is_some());
    layers && Chain::new(&resolved.diff_ids).is_stored(layout, form)
}

fn details(layout: &Layout, resolved: &Resolved) -> StoredDetails {
    let layers = &resolved.manifest.layers;
    let sizes = resolved.diff_ids.iter().map(|diff_id| {
        [Form::Erofs, Form::Directory]
            .into_iter()
            .find_map(|form| stored::size(layout, form, diff_id))
    });
    StoredDetails {
        created: resolved.config.created.clone(),
        layers: layers.len(),
        compressed_size: layers
            .iter()
            .fold(0, |sum: u64, layer| sum.saturating_add(layer.size)),
        unpacked_size: sizes.sum::<Option<u64>>(),
    }
}
