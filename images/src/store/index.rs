//! `index.json`: which images the store has, readable by any OCI tool.

use std::io::Write;

use serde_json::{Value, json};

use super::layout::{Layout, private_file, read_small};
use super::lock::{Lock, Mode};
use super::staging::Staging;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::manifest::{Descriptor, JSON_MAX, REF_NAME, parse_index};
use crate::unique::unique;
use crate::{Digest, Platform};

/// The manifests that the index lists.
pub(crate) fn read(layout: &Layout) -> Result<Vec<Descriptor>> {
    parse_index(&bytes(layout)?).map_err(|error| damaged(layout, &error))
}

/// Adds a manifest, durably; nothing happens if it is listed already.
pub(crate) fn add(
    layout: &Layout,
    staging: &Staging,
    manifest: &Descriptor,
    platform: &Platform,
) -> Result<()> {
    let _lock = Lock::acquire(&layout.lock("index"), Mode::Exclusive)?;
    if read(layout)?
        .iter()
        .any(|known| known.digest == manifest.digest)
    {
        return Ok(());
    }
    let mut index: Value = serde_json::from_slice(&bytes(layout)?)
        .map_err(|error| damaged(layout, &Error::invalid(error.to_string())))?;
    let Some(entries) = index["manifests"].as_array_mut() else {
        return Err(damaged(layout, &Error::invalid("no list of manifests")));
    };
    entries.push(json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
        "platform": { "os": platform.os, "architecture": platform.architecture },
        // OCI tools address an image by this name; the digest is the only one
        // that an import may give without moving somebody's tag.
        "annotations": { REF_NAME: ref_name(&manifest.digest) },
    }));
    let failed = || format!("writing {}", quoted_path(&layout.index()));
    let temporary = staging.path().join(format!("index-{}", unique()));
    let mut file = private_file(&temporary).doing(failed)?;
    file.write_all(index.to_string().as_bytes()).doing(failed)?;
    file.sync_all().doing(failed)?;
    std::fs::rename(&temporary, layout.index()).doing(failed)?;
    rustix::fs::fsync(layout.root_fd()).doing(failed)
}

/// The name of an image in the index, without the colon that other tools split at.
pub(crate) fn ref_name(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

fn bytes(layout: &Layout) -> Result<Vec<u8>> {
    read_small(&layout.index(), JSON_MAX)?
        .ok_or_else(|| damaged(layout, &Error::invalid("it does not exist")))
}

fn damaged(layout: &Layout, error: &Error) -> Error {
    Error::invalid(format!(
        "{} is damaged: {error}; replace its content by \
         {{\"schemaVersion\":2,\"manifests\":[]}} and import the images again",
        quoted_path(&layout.index())
    ))
}
