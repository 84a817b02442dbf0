//! [`Image`]: what an import hands out.

use crate::{Digest, ImageConfig};

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// Digest of the image manifest: the image's identity.
    pub manifest_digest: Digest,
    /// How the image wants to be run.
    pub config: ImageConfig,
    /// The layers, base first.
    pub layers: Vec<Layer>,
    /// The image index that the image was chosen from, which Lambda refuses; not known
    /// of an image that the store had.
    pub index: Option<ImageIndex>,
    /// Bytes of the image manifest.
    pub manifest_size: u64,
    /// What is odd about the image without making it unusable, one line each.
    pub warnings: Vec<String>,
}

/// What an image index offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageIndex {
    /// Images, for one platform each.
    pub images: usize,
    /// Attestations about images, such as `docker buildx` adds.
    pub attestations: usize,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// Digest of the blob, as it is stored and transferred.
    pub digest: Digest,
    /// Digest of the uncompressed tar stream.
    pub diff_id: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Media type of the blob.
    pub media_type: String,
}
