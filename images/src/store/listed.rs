//! [`Listed`]: the manifest with which `index.json` shows an image to other tools.
//!
//! An image's own manifest names its layers as they were transferred, and of those
//! the store keeps the streams instead. Where it does, the index leads to a manifest
//! in its place that names the streams: the same configuration, the same diff IDs,
//! layers of another media type. Lambent itself never reads it.

use std::collections::BTreeMap;

use serde_json::json;

use super::index::IMAGE;
use super::layout::Layout;
use super::stored;
use crate::Digest;
use crate::error::Result;
use crate::manifest::{
    DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD, Descriptor, OCI_CONFIG, OCI_LAYER,
    OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::source::Resolved;

/// What the index is to say about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) descriptor: Descriptor,
    /// The manifest, unless it is the image's own.
    pub(crate) manifest: Option<Vec<u8>>,
}

/// The manifest that fits to what the store has of an image's layers.
///
/// # Errors
///
/// `Io` if what the store has cannot be told: a wrong manifest would be worse.
pub(crate) fn listed(layout: &Layout, image: &Resolved) -> Result<Listed> {
    let mut layers = Vec::with_capacity(image.diff_ids.len());
    let mut is_own = true;
    for (layer, diff_id) in image.manifest.layers.iter().zip(&image.diff_ids) {
        let stream = stored::stream(layout, diff_id)?;
        match stream.filter(|_| *diff_id != layer.digest) {
            Some(size) => {
                is_own = false;
                layers.push(json!({"mediaType": OCI_LAYER, "digest": diff_id, "size": size}));
            }
            None => layers.push(json!({
                "mediaType": oci(&layer.media_type), "digest": layer.digest, "size": layer.size,
            })),
        }
    }
    if is_own {
        return Ok(Listed {
            descriptor: image.descriptor.clone(),
            manifest: None,
        });
    }
    let config = &image.manifest.config;
    let image = image.descriptor.digest;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config.digest, "size": config.size},
        "layers": layers,
        "annotations": {IMAGE: image},
    });
    let bytes = manifest.to_string().into_bytes();
    Ok(Listed {
        descriptor: Descriptor {
            media_type: OCI_MANIFEST.to_owned(),
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        },
        manifest: Some(bytes),
    })
}

/// The media type of the same bytes in OCI's words.
fn oci(media_type: &str) -> &str {
    match media_type {
        DOCKER_LAYER => OCI_LAYER,
        DOCKER_LAYER_GZIP => OCI_LAYER_GZIP,
        DOCKER_LAYER_ZSTD => OCI_LAYER_ZSTD,
        other => other,
    }
}

/// The image that a manifest was written in the place of, by what it says.
pub(crate) fn in_place_of(manifest: &[u8]) -> Option<Digest> {
    let document: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    document["annotations"][IMAGE].as_str()?.parse().ok()
}
