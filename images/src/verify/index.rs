//! The index of a store: whether it is damaged, and a new one from what is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use serde_json::{Value, json};

use crate::digest::Hasher;
use crate::error::{IoContext, Result};
use crate::manifest::{JSON_MAX, parse_index};
use crate::store::collect::named_by_digest;
use crate::store::index::{Entry, bytes, read, render, write};
use crate::store::layout::Layout;
use crate::store::listed::{in_place_of, listed};
use crate::store::query::{digests, document, read_image};
use crate::store::staging::Staging;
use crate::store::stored;
use crate::{Digest, Interrupt};

/// The entries that can be read, from an index that may be damaged.
fn readable(layout: &Layout) -> Vec<Entry> {
    if let Ok(entries) = read(layout) {
        return entries;
    }
    let Ok(bytes) = bytes(layout) else {
        return Vec::new();
    };
    let index: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let entries = index["manifests"].as_array().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let alone = json!({ "schemaVersion": 2, "manifests": [entry] });
            parse_index(alone.to_string().as_bytes()).ok()
        })
        .flatten()
        .map(Entry::from)
        .collect()
}

/// The entries that are as they were written.
pub(super) fn sound(layout: &Layout) -> Vec<Entry> {
    let mut entries = readable(layout);
    entries
        .retain(|entry| entry.is_sound() && (entry.is_identity() || entry.user_name().is_some()));
    entries
}

/// What is wrong with the index, if anything is.
pub(super) fn damage(layout: &Layout) -> Result<Option<String>> {
    let Ok(bytes) = bytes(layout) else {
        return Ok(Some("index.json is missing or too large".to_owned()));
    };
    let sound = sound(layout);
    if bytes != render(&sound)? {
        return Ok(Some(
            "index.json is damaged, or another program wrote it; names in it may be lost"
                .to_owned(),
        ));
    }
    let unlisted = |digest: &Digest| {
        !sound
            .iter()
            .any(|entry| entry.is_identity() && entry.digest == *digest)
    };
    Ok(digests(&sound)
        .into_iter()
        .find(unlisted)
        .map(|digest| format!("index.json lacks the entry of image {digest}")))
}

/// Writes a new index: the sound entries, and the images whose documents are
/// there. Needs the store's lock.
pub(super) fn rebuild(layout: &Layout, staging: &Staging) -> Result<()> {
    let mut entries = sound(layout);
    let listed: BTreeSet<_> = entries
        .iter()
        .filter(|entry| entry.is_identity())
        .map(|entry| entry.digest)
        .collect();
    for digest in named_by_digest(&layout.root().join("blobs/sha256"))? {
        if !listed.contains(&digest) {
            entries.extend(identity(layout, digest));
        }
    }
    // What stands in for an image that is listed is none by itself.
    let all: BTreeSet<_> = entries.iter().map(|entry| entry.digest).collect();
    let stands_in = |digest: &Digest| {
        let manifest = document(layout, digest, None).ok();
        let image = manifest.and_then(|bytes| in_place_of(&bytes));
        image.is_some_and(|image| all.contains(&image))
    };
    entries.retain(|entry| listed.contains(&entry.digest) || !stands_in(&entry.digest));
    // A name without its image leads nowhere.
    let whole: BTreeSet<_> = entries
        .iter()
        .filter(|entry| entry.is_identity())
        .map(|entry| entry.digest)
        .collect();
    entries.retain(|entry| whole.contains(&entry.digest));
    write(layout, staging, &entries)
}

/// The entry of the image whose manifest this blob is, if it is one.
fn identity(layout: &Layout, digest: Digest) -> Option<Entry> {
    let size = layout.blob(&digest).symlink_metadata().ok()?.len();
    if size > JSON_MAX {
        return None;
    }
    let image = read_image(layout, &digest).ok()?;
    let listed = listed(layout, &image).ok()?.descriptor;
    // Its next import writes what is missing.
    let listed = if stored::has_blob(layout, &listed) {
        listed
    } else {
        image.descriptor
    };
    Some(Entry::identity(digest, &listed, &image.config.platform()))
}

/// The digest of a file's content.
pub(super) fn hash(mut file: File, interrupt: &Interrupt) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        interrupt.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing(|| "reading".to_owned()),
        }
    }
}
