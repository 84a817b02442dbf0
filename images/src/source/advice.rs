//! What can be read here, and Lambda would refuse: a line for the user.

use crate::error::quoted;
use crate::manifest::{DOCKER_LAYER_ZSTD, Manifest, OCI_LAYER_ZSTD};

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
