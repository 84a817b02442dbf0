//! [`Joint`]: what is lost when layers are unpacked each by itself and stacked by
//! overlayfs, compared with the tree that they make together.
//!
//! A directory of a layer holds the layer's own entries, and is the same in every
//! image. Three things depend on the layers below it:
//!
//! - what a directory is that a layer has entries in and does not describe;
//! - which names a file has: hard links into lower layers, and names that upper
//!   layers have hidden, both of which the number of links tells;
//! - whether a whiteout has anything to hide: in a directory that no other layer
//!   has, overlayfs lists it as a name that leads nowhere.
//!
//! The joint is a further directory on top, of this stack of layers only, that has
//! the objects concerned completely. Merging notes what it takes to find them.

use std::collections::{HashMap, HashSet};

use super::{Content, Dirent, FileData, NodeId, Tree};
use crate::unpack::entry::Metadata;

/// Changes whenever the same layers come to have another joint.
pub(crate) const VERSION: u32 = 1;

/// What merging notes about the layers' own directories. Few nodes are in here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Apart {
    /// How many names a file has in its own layer; one if it is not here.
    names: HashMap<NodeId, u32>,
    /// The path in its own layer of what an upper layer made a link to.
    paths: HashMap<NodeId, Vec<u8>>,
    /// The last layer that left a whiteout in a directory.
    whiteouts: HashMap<NodeId, u32>,
}

impl Apart {
    pub(super) fn one_more_name(&mut self, file: NodeId) {
        *self.names.entry(file).or_insert(1) += 1;
    }

    pub(super) fn one_name_less(&mut self, file: NodeId) {
        if let Some(names) = self.names.get_mut(&file) {
            *names = names.saturating_sub(1);
        }
    }

    /// False while no file has more than one name.
    pub(super) fn counts_names(&self) -> bool {
        !self.names.is_empty()
    }

    pub(super) fn linked_from_above(&mut self, node: NodeId, path: Vec<u8>) {
        self.paths.entry(node).or_insert(path);
    }

    pub(super) fn whiteout_in(&mut self, directory: NodeId, layer: u32) {
        self.whiteouts.insert(directory, layer);
    }
}

/// The objects of a tree that its layers' directories, stacked, do not show right.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joint {
    nodes: HashSet<NodeId>,
    sources: HashMap<NodeId, Source>,
}

/// Where the content of a regular file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The layer, counted from 1.
    pub(crate) layer: u32,
    /// The path in that layer's directory.
    pub(crate) path: Vec<u8>,
}

impl Joint {
    /// True if there is nothing to mend.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// True for what is to be in the directory.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.nodes.contains(&node)
    }

    /// Where a regular file of the joint has its content from.
    pub(crate) fn source(&self, file: NodeId) -> Option<&Source> {
        self.sources.get(&file)
    }

    /// Bytes of all its files.
    pub(crate) fn size(&self, tree: &Tree) -> u64 {
        let files = self.sources.keys();
        files
            .map(|&id| match &tree.node(id).content {
                Content::File(FileData::Tar { extents, .. }) => extents.size,
                _ => 0,
            })
            .sum()
    }
}

/// A name in a tree, and the place of its directory in the walk.
struct Named<'a> {
    entry: Dirent,
    name: &'a [u8],
    parent: usize,
}

impl Tree {
    /// Finds what a directory on top of the layers' directories has to have, below
    /// a skeleton that was applied as layer `skeleton`. `same` tells whether two
    /// layers are one directory: of those only the upper one is stacked.
    pub(crate) fn joint(&self, skeleton: u32, same: impl Fn(u32, u32) -> bool) -> Joint {
        let walked = self.walked();
        let mut names: HashMap<NodeId, u32> = HashMap::new();
        let apart = &self.apart;
        for Named { entry, .. } in &walked {
            if apart.names.contains_key(&entry.node) {
                *names.entry(entry.node).or_default() += 1;
            }
        }
        let lost = |entry: Dirent| {
            let node = self.node(entry.node);
            let Content::Directory(entries) = &node.content else {
                return apart.paths.contains_key(&entry.node)
                    || apart.names.get(&entry.node) != names.get(&entry.node);
            };
            let implied = entry.layer != node.layer;
            let alone = same(entries.bottom, entry.layer);
            (implied && node.metadata != Metadata::implied_directory())
                || (alone && apart.whiteouts.get(&entry.node) == Some(&entry.layer))
        };
        let mut joint = Joint::default();
        for (index, named) in walked.iter().enumerate() {
            // The root is the skeleton's, like all that it has itself.
            if index > 0 && named.entry.layer != skeleton && lost(named.entry) {
                self.take(&walked, index, &mut joint);
            }
        }
        joint
    }

    /// Everything that can be reached, the root first.
    fn walked(&self) -> Vec<Named<'_>> {
        let root = Dirent {
            node: Self::ROOT,
            layer: 0,
        };
        let mut walked = vec![Named {
            entry: root,
            name: b"",
            parent: 0,
        }];
        let mut next = 0;
        while let Some(node) = walked.get(next).map(|directory| directory.entry.node) {
            let entries = self.dirents(node);
            walked.extend(entries.map(|(name, entry)| Named {
                entry,
                name,
                parent: next,
            }));
            next += 1;
        }
        walked
    }

    /// Takes a name's node and the directories above it into the joint.
    fn take(&self, walked: &[Named<'_>], index: usize, joint: &mut Joint) {
        let mut at = index;
        while at > 0 {
            joint.nodes.insert(walked[at].entry.node);
            at = walked[at].parent;
        }
        joint.nodes.insert(Self::ROOT);
        let Dirent { node: id, .. } = walked[index].entry;
        let node = self.node(id);
        if matches!(node.content, Content::File(_)) && !joint.sources.contains_key(&id) {
            // What no upper layer made a link to has only names of its own layer.
            let path = self.apart.paths.get(&id).cloned();
            let source = Source {
                layer: node.layer,
                path: path.unwrap_or_else(|| path_of(walked, index)),
            };
            joint.sources.insert(id, source);
        }
    }
}

/// The path of a name.
fn path_of(walked: &[Named<'_>], index: usize) -> Vec<u8> {
    let mut parts = Vec::new();
    let mut at = index;
    while at > 0 {
        parts.push(walked[at].name);
        at = walked[at].parent;
    }
    parts.reverse();
    parts.join(&b'/')
}
