//! Reachability: what a store needs for the images that it keeps. Pure.

use std::collections::BTreeSet;

use crate::manifest::{Document, parse};
use crate::store::chain::Chain;
use crate::{Digest, config};

/// The top-level directories whose entries are named by digest, and which set of
/// [`Reachable`] says what of them is kept. Records come first: what lost its
/// record does not count any more, whatever else is still there.
pub(crate) const COLLECTED: [(&str, Kept); 11] = [
    ("records/roots", Kept::Roots),
    ("records/joints", Kept::Roots),
    ("records/layers", Kept::Layers),
    ("records/tars", Kept::Layers),
    ("records/blobs", Kept::Blobs),
    ("roots", Kept::Roots),
    ("joints", Kept::Roots),
    ("indexes", Kept::Layers),
    ("layers/sha256", Kept::Layers),
    ("tars/sha256", Kept::Layers),
    ("blobs/sha256", Kept::Blobs),
];

/// What an entry's name is the digest of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A blob.
    Blobs,
    /// A layer, by diff ID.
    Layers,
    /// A root file system, by its chain of layers.
    Roots,
}

/// Everything that some images are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reachable {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) layers: BTreeSet<Digest>,
    pub(crate) roots: BTreeSet<Digest>,
    /// Documents that are missing or damaged: what they lead to is not known.
    pub(crate) unreadable: BTreeSet<Digest>,
}

impl Reachable {
    pub(crate) fn set(&self, kept: Kept) -> &BTreeSet<Digest> {
        match kept {
            Kept::Blobs => &self.blobs,
            Kept::Layers => &self.layers,
            Kept::Roots => &self.roots,
        }
    }
}

/// Follows `roots`, the digests of manifests (or indexes), to their
/// configurations, layers and diff IDs. `document` gives the verified bytes of a
/// blob, if it can.
pub(crate) fn reachable(
    roots: impl IntoIterator<Item = Digest>,
    document: impl Fn(&Digest) -> Option<Vec<u8>>,
) -> Reachable {
    let mut found = Reachable::default();
    let mut pending: Vec<_> = roots.into_iter().collect();
    while let Some(digest) = pending.pop() {
        if !found.blobs.insert(digest) {
            continue;
        }
        match document(&digest).and_then(|bytes| parse(&bytes, None).ok()) {
            None => {
                found.unreadable.insert(digest);
            }
            Some(Document::Index(entries)) => {
                pending.extend(entries.iter().map(|entry| entry.digest));
            }
            Some(Document::Manifest(manifest)) => {
                found
                    .blobs
                    .extend(manifest.layers.iter().map(|layer| layer.digest));
                let config = manifest.config.digest;
                found.blobs.insert(config);
                match document(&config).and_then(|bytes| config::parse(&bytes).ok()) {
                    Some((_, diff_ids)) => {
                        found.roots.insert(*Chain::new(&diff_ids).digest());
                        found.layers.extend(diff_ids);
                    }
                    None => {
                        found.unreadable.insert(config);
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};

    fn add(blobs: &mut BTreeMap<Digest, Vec<u8>>, document: &Value) -> Digest {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        blobs.insert(digest, bytes);
        digest
    }

    #[test]
    fn everything_of_an_image_is_reached_and_nothing_else() {
        let mut blobs = BTreeMap::new();
        let (layer, diff_id) = (Digest::of("layer"), Digest::of("diff"));
        let config = add(
            &mut blobs,
            &json!({"architecture": "amd64", "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [diff_id]}}),
        );
        let manifest = add(
            &mut blobs,
            &json!({"schemaVersion": 2,
                "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 1},
                "layers": [{"mediaType": OCI_LAYER, "digest": layer, "size": 1}]}),
        );
        let index = add(
            &mut blobs,
            &json!({"schemaVersion": 2,
                "manifests": [{"mediaType": OCI_MANIFEST, "digest": manifest, "size": 1}]}),
        );
        add(
            &mut blobs,
            &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
        );
        let found = reachable([index, index], |digest| blobs.get(digest).cloned());
        assert_eq!(
            found.blobs,
            BTreeSet::from([index, manifest, config, layer])
        );
        assert_eq!(found.layers, BTreeSet::from([diff_id]));
        let chain = *Chain::new(&[diff_id]).digest();
        assert_eq!(found.roots, BTreeSet::from([chain]));
        assert!(found.unreadable.is_empty());

        blobs.remove(&config);
        let found = reachable([manifest], |digest| blobs.get(digest).cloned());
        assert_eq!(found.unreadable, BTreeSet::from([config]));
        assert_eq!(found.blobs, BTreeSet::from([manifest, config, layer]));
    }
}
