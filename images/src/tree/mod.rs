//! [`Tree`]: the root file system of an image in memory, its layers merged.
//!
//! Pure: names and metadata only. The content of a file is a place in the tar
//! stream of a layer, so a tree of 100,000 files takes some 16 MB. `apply` adds
//! a layer, `joint` tells what directories of the layers would not show; what is
//! made of a tree is the business of `erofs`, `bundle` and `rootfs`.

mod apply;
pub(crate) mod index;
pub(crate) mod joint;
pub(crate) mod lookup;
pub(crate) mod parents;
pub(crate) mod skeleton;

use std::collections::BTreeMap;

pub(crate) use self::apply::Layering;
use self::joint::Apart;
use crate::tarball::{Segment, SparseMap, Timestamp};
use crate::unpack::entry::{Device, Metadata, Xattrs};

/// A node of a [`Tree`]; several directory entries may lead to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

/// What an inode is in a file system.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) metadata: Metadata,
    pub(crate) content: Content,
    /// The layer that gave the metadata.
    layer: u32,
}

impl Node {
    /// The layer that gave the metadata: 1 for the base, 0 if none did.
    pub(crate) fn layer(&self) -> u32 {
        self.layer
    }
}

/// What a node has beside its metadata.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Directory(Entries),
    File(FileData),
    Symlink(Box<[u8]>),
    Fifo,
    Device(Device),
}

/// What is in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entries {
    by_name: BTreeMap<Box<[u8]>, Dirent>,
    /// The lowest layer with a directory here that is not hidden.
    bottom: u32,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(crate) enum FileData {
    /// In the tree itself: the few bytes of a file that Lambent adds.
    Inline(Box<[u8]>),
    /// In the tar stream of a layer.
    Tar { layer: u32, extents: Extents },
}

/// The places of a file's bytes in a tar stream, and its size.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Extents {
    /// Size of the file in bytes, holes included.
    pub(crate) size: u64,
    /// Where its bytes begin in the tar stream: a multiple of the tar block.
    pub(crate) offset: u64,
    /// The pieces of a file with holes, which follow one another in the stream.
    #[expect(
        clippy::box_collection,
        reason = "few files have any: one word, not three"
    )]
    pub(crate) pieces: Option<Box<Vec<Segment>>>,
}

impl Extents {
    /// The extents of a member with so many bytes in the stream.
    pub(crate) fn new(offset: u64, stored: u64, sparse: Option<SparseMap>) -> Self {
        match sparse {
            Some(map) => Self {
                size: map.size,
                offset,
                pieces: Some(Box::new(map.segments)),
            },
            None => Self {
                size: stored,
                offset,
                pieces: None,
            },
        }
    }

    /// Where its bytes end in the tar stream.
    pub(crate) fn end(&self) -> u64 {
        let stored = match &self.pieces {
            Some(pieces) => pieces.iter().map(|piece| piece.length).sum(),
            None => self.size,
        };
        self.offset + stored
    }

    /// Each piece with its place in the stream, in order.
    pub(crate) fn placed(&self) -> Vec<(u64, Segment)> {
        let whole = [Segment {
            offset: 0,
            length: self.size,
        }];
        let mut place = self.offset;
        self.pieces
            .as_deref()
            .map_or(&whole[..], Vec::as_slice)
            .iter()
            .map(|&piece| {
                let at = place;
                place += piece.length;
                (at, piece)
            })
            .collect()
    }
}

/// A name in a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dirent {
    pub(crate) node: NodeId,
    /// The last layer that has an entry for this name, or for one below it.
    layer: u32,
}

/// A directory tree; it always has its root.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// What sets it apart from the layers' own directories, stacked.
    apart: Apart,
}

impl Tree {
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn new() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            apart: Apart::default(),
        };
        tree.add_directory(0);
        tree
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// The entries of a directory, in the order of their names' bytes; none for
    /// anything else.
    pub(crate) fn entries(&self, id: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        self.dirents(id).map(|(name, entry)| (name, entry.node))
    }

    fn dirents(&self, id: NodeId) -> impl Iterator<Item = (&[u8], Dirent)> {
        let entries = match &self.node(id).content {
            Content::Directory(entries) => Some(&entries.by_name),
            _ => None,
        };
        entries
            .into_iter()
            .flatten()
            .map(|(name, entry)| (name.as_ref(), *entry))
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<Dirent> {
        match &self.node(directory).content {
            Content::Directory(entries) => entries.by_name.get(name).copied(),
            _ => None,
        }
    }

    fn entries_mut(&mut self, directory: NodeId) -> Option<&mut Entries> {
        match &mut self.node_mut(directory).content {
            Content::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.node(id).content, Content::Directory(_))
    }

    /// Adds a node that nothing leads to yet.
    fn add(&mut self, metadata: Metadata, content: Content, layer: u32) -> NodeId {
        // The number of entries of an image is bounded far below this.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            metadata,
            content,
            layer,
        });
        id
    }

    /// Adds a directory that a layer makes, and so far only implies.
    fn add_directory(&mut self, layer: u32) -> NodeId {
        let entries = Entries {
            by_name: BTreeMap::new(),
            bottom: layer,
        };
        let metadata = Metadata::implied_directory();
        self.add(metadata, Content::Directory(entries), layer)
    }

    /// Number of nodes ever added: an upper bound of every [`NodeId`].
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.len()
    }
}

impl NodeId {
    /// A number below [`Tree::capacity`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Metadata of what Lambent itself adds: root's, from 1970.
fn own_metadata(mode: u32) -> Metadata {
    Metadata {
        mode,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        xattrs: Xattrs::default(),
    }
}

#[cfg(test)]
mod tests;
