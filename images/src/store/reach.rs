//! Reachability: what a store needs for the images that it keeps. Pure.

use std::collections::BTreeSet;

use crate::manifest::{Document, parse};
use crate::store::chain::Chain;
use crate::{Digest, config};

/// The top-level directories whose entries are named by digest, and which set of
/// [`Reachable`] says what of them is kept. Records come first: what lost its
/// record does not count any more, whatever else is still there.
pub(crate) const COLLECTED: [(&str, Kept); 10] = [
    ("records/roots", Kept::Roots),
    ("records/joints", Kept::Roots),
    ("records/layers", Kept::Layers),
    ("records/tars", Kept::Layers),
    ("records/blobs", Kept::Received),
    ("roots", Kept::Roots),
    ("joints", Kept::Roots),
    ("indexes", Kept::Layers),
    ("layers/sha256", Kept::Layers),
    ("blobs/sha256", Kept::Blobs),
];

/// What an entry's name is the digest of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A blob.
    Blobs,
    /// A layer as it was received, which need not have been kept.
    Received,
    /// A layer, by diff ID.
    Layers,
    /// A root file system, by its chain of layers.
    Roots,
}

/// Everything that some images are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reachable {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) received: BTreeSet<Digest>,
    pub(crate) layers: BTreeSet<Digest>,
    pub(crate) roots: BTreeSet<Digest>,
    /// Documents that are missing or damaged: what they lead to is not known.
    pub(crate) unreadable: BTreeSet<Digest>,
}

impl Reachable {
    pub(crate) fn set(&self, kept: Kept) -> &BTreeSet<Digest> {
        match kept {
            Kept::Blobs => &self.blobs,
            Kept::Received => &self.received,
            Kept::Layers => &self.layers,
            Kept::Roots => &self.roots,
        }
    }
}

/// An image, and the manifest that the index has in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Root {
    pub(crate) image: Digest,
    pub(crate) listed: Digest,
}

impl Root {
    /// An image by itself: nothing says that a layer as it was received is not needed.
    pub(crate) fn alone(image: Digest) -> Self {
        Self {
            image,
            listed: image,
        }
    }
}

/// Follows `roots`, the digests of manifests (or indexes), to their
/// configurations, layers and diff IDs. `document` gives the verified bytes of a
/// blob, if it can.
///
/// Of a layer are needed the stream, and the blob as it was received only if the
/// listed manifest names it.
pub(crate) fn reachable(
    roots: impl IntoIterator<Item = Root>,
    document: impl Fn(&Digest) -> Option<Vec<u8>>,
) -> Reachable {
    let mut found = Reachable::default();
    let mut seen = BTreeSet::new();
    // Digests, and whether they lead to the layers that other tools read.
    let mut pending: Vec<(Digest, bool)> = Vec::new();
    for Root { image, listed } in roots {
        pending.push((image, image == listed));
        if image != listed {
            pending.push((listed, true));
        }
    }
    while let Some((digest, is_listed)) = pending.pop() {
        if !seen.insert((digest, is_listed)) {
            continue;
        }
        found.blobs.insert(digest);
        match document(&digest).and_then(|bytes| parse(&bytes, None).ok()) {
            None => {
                found.unreadable.insert(digest);
            }
            Some(Document::Index(entries)) => {
                pending.extend(entries.iter().map(|entry| (entry.digest, is_listed)));
            }
            Some(Document::Manifest(manifest)) => {
                let layers = manifest.layers.iter().map(|layer| layer.digest);
                if is_listed {
                    found.blobs.extend(layers.clone());
                }
                found.received.extend(layers);
                let config = manifest.config.digest;
                found.blobs.insert(config);
                match document(&config).and_then(|bytes| config::parse(&bytes).ok()) {
                    Some((_, diff_ids)) => {
                        found.roots.insert(*Chain::new(&diff_ids).digest());
                        found.blobs.extend(&diff_ids);
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
        let found = reachable([index, index].map(Root::alone), |digest| {
            blobs.get(digest).cloned()
        });
        assert_eq!(
            found.blobs,
            BTreeSet::from([index, manifest, config, layer, diff_id])
        );
        assert_eq!(found.received, BTreeSet::from([layer]));
        assert_eq!(found.layers, BTreeSet::from([diff_id]));
        let chain = *Chain::new(&[diff_id]).digest();
        assert_eq!(found.roots, BTreeSet::from([chain]));
        assert!(found.unreadable.is_empty());

        // Listed by its stream: the blob as it was received is needed no more, unless
        // by somebody else.
        let listed = add(
            &mut blobs,
            &json!({"schemaVersion": 2,
                "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 1},
                "layers": [{"mediaType": OCI_LAYER, "digest": diff_id, "size": 1}]}),
        );
        let image = Root {
            image: manifest,
            listed,
        };
        let found = reachable([image], |digest| blobs.get(digest).cloned());
        let expected = BTreeSet::from([manifest, listed, config, diff_id]);
        assert_eq!(found.blobs, expected);
        assert!(found.received.contains(&layer));
        let found = reachable([image, Root::alone(manifest)], |digest| {
            blobs.get(digest).cloned()
        });
        assert!(found.blobs.contains(&layer) && found.blobs.is_superset(&expected));

        blobs.remove(&config);
        let found = reachable([Root::alone(manifest)], |digest| blobs.get(digest).cloned());
        assert_eq!(found.unreadable, BTreeSet::from([config]));
        assert_eq!(found.blobs, BTreeSet::from([manifest, config, layer]));
    }
}
