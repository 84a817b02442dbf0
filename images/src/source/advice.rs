//! What can be read here, and Lambda would refuse: a line for the user.

use crate::error::quoted;
use crate::manifest::{DOCKER_LAYER_ZSTD, Descriptor, Manifest, OCI_LAYER_ZSTD};
use crate::platform::is_attestation;
use crate::{ImageIndex, Platform};

/// A warning about layers that Lambda is not documented to accept.
pub(super) fn about_layers(manifest: &Manifest) -> Option<String> {
    let zstd = |media_type: &str| [OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD].contains(&media_type);
    let layers = &manifest.layers;
    let first = layers.iter().find(|layer| zstd(&layer.media_type))?;
    let count = layers.iter().filter(|l| zstd(&l.media_type)).count();
    Some(format!(
        "{count} of {} layers are compressed with zstd ({}), which came with OCI 1.1, and Lambda \
         documents OCI 1.0 only; push the image with gzip layers, for example with \
         `skopeo copy --dest-compress-format gzip` or `docker buildx build --output \
         type=image,compression=gzip,force-compression=true`",
        layers.len(),
        quoted(&first.media_type)
    ))
}

/// What an index offers.
pub(super) fn count(entries: &[Descriptor]) -> ImageIndex {
    let attestations = entries.iter().filter(|entry| is_attestation(entry)).count();
    ImageIndex {
        images: entries.len() - attestations,
        attestations,
    }
}

/// A warning about an index, which Lambda refuses whatever is in it.
pub(super) fn about_index(index: ImageIndex, platform: &Platform) -> String {
    let (images, attestations) = (index.images, index.attestations);
    let content = match (images, attestations) {
        (1, 0) => "one image".to_owned(),
        (images, 0) => format!("{images} images"),
        (1, _) => "one image and attestations about it".to_owned(),
        (images, _) => format!("{images} images and attestations about them"),
    };
    format!(
        "this is an image index ({content}), which Lambda refuses: push a single image, for \
         example one built with `docker buildx build --provenance=false --sbom=false --platform \
         {platform}`"
    )
}
