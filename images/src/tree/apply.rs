//! How one layer changes the tree of the layers below it.
//!
//! The rules are those of overlayfs over unpacked layers, which Docker, Podman
//! and containerd use: a whiteout acts on lower layers only, whatever its place
//! among the entries; a parent that is a symlink of the same layer is followed,
//! inside the root, and one of a lower layer is replaced by a directory. A name of
//! such a symlink that the layer gives by a hard link counts as the lower layer's.
//! A whiteout does not act through a symlink on what only lower layers have.
//!
//! `unpack::path` acts by the same rules on a layer alone, without knowing those
//! below. What it cannot get right in this way is noted in [`Apart`](super::Apart).
//!
//! The tree is umoci's and podman's in all that system calls tell, but that
//! podman sets times before 1970 to 1970, describes a root that no layer
//! describes in its own way, and counts names of a file that are hidden.

use std::collections::{HashSet, VecDeque};

use super::index::{Entry, LayerIndex};
use super::lookup::SYMLINKS_MAX;
use super::{Content, Dirent, FileData, NodeId, Tree};
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::unpack::entry::{Action, Metadata};
use crate::unpack::name::{LayerPath, PATH_MAX};

/// What to do about a parent that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    /// Create it, unless the way there leads over a link or a whiteout: then the
    /// entry has nothing to act on.
    CreateUnlessHidden,
    Leave,
}

/// The way to a directory, and what it led over.
#[derive(Debug)]
struct Trail {
    /// The directories below the root, each with its name.
    steps: Vec<(NodeId, Vec<u8>)>,
    /// Bytes of its real path, with a slash behind each name.
    length: usize,
    /// True if it took no link.
    direct: bool,
    /// True if the layer alone would have led here.
    alone: bool,
}

impl Trail {
    fn directory(&self) -> NodeId {
        self.steps.last().map_or(Tree::ROOT, |(id, _)| *id)
    }

    fn enter(&mut self, directory: NodeId, name: Vec<u8>) {
        self.length += name.len() + 1;
        self.steps.push((directory, name));
    }

    fn leave(&mut self) {
        if let Some((_, name)) = self.steps.pop() {
            self.length -= name.len() + 1;
        }
    }

    fn leave_all(&mut self) {
        self.steps.clear();
        self.length = 0;
    }

    /// The real path of a name here.
    fn path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.length + name.len());
        for (_, directory) in &self.steps {
            path.extend_from_slice(directory);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// Fails for a name here that no path could reach.
    fn require_room_for(&self, name: &[u8], entry: &LayerPath) -> Result<()> {
        if self.length + name.len() > PATH_MAX {
            return Err(Error::limit(format!(
                "entry {entry} is longer than {PATH_MAX} bytes"
            )));
        }
        Ok(())
    }
}

/// One layer on its way into a tree.
#[derive(Debug)]
pub(crate) struct Layering<'a> {
    tree: &'a mut Tree,
    layer: u32,
    /// Names that this layer hid and has not made again.
    hidden: HashSet<(NodeId, Box<[u8]>)>,
    /// The last parent that took no link, since entries of one directory follow one
    /// another; forgotten when a directory is replaced.
    parent: Option<(LayerPath, Trail)>,
}

impl Tree {
    /// Merges a layer, above all that were merged before; `layer` counts from 1.
    pub(crate) fn apply(&mut self, layer: u32, index: &LayerIndex) -> Result<()> {
        let mut layering = Layering::new(self, layer);
        for entry in index.entries() {
            layering.entry(entry?)?;
        }
        layering.note_whiteouts();
        Ok(())
    }
}

impl<'a> Layering<'a> {
    pub(super) fn new(tree: &'a mut Tree, layer: u32) -> Self {
        Self {
            tree,
            layer,
            hidden: HashSet::new(),
            parent: None,
        }
    }

    fn entry(&mut self, Entry { action, extents }: Entry) -> Result<()> {
        match action {
            Action::Directory(path, metadata) => self.directory(&path, metadata),
            Action::File(path, metadata) => {
                let extents = extents.ok_or_else(|| {
                    Error::invalid(format!("file {path} has no content in the layer's index"))
                })?;
                let data = FileData::Tar {
                    layer: self.layer,
                    extents,
                };
                self.leaf(&path, metadata, Content::File(data))
            }
            Action::Symlink(path, target, metadata) => {
                self.leaf(&path, metadata, Content::Symlink(target.into()))
            }
            Action::Fifo(path, metadata) => self.leaf(&path, metadata, Content::Fifo),
            Action::Device(path, device, metadata) => {
                self.leaf(&path, metadata, Content::Device(device))
            }
            Action::Hardlink(path, target) => self.hardlink(&path, &target),
            Action::Whiteout(path) => self.whiteout(&path),
            Action::Opaque(path) => self.opaque(&path),
            Action::Skip(_) => Ok(()),
        }
    }

    pub(super) fn directory(&mut self, path: &LayerPath, metadata: Metadata) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            self.describe(Tree::ROOT, metadata);
            return Ok(());
        };
        let parent = self.parent(&parent, path, name)?;
        let directory = match self.tree.child(parent, name) {
            Some(entry) if self.tree.is_directory(entry.node) => entry.node,
            _ => self.imply(parent, name),
        };
        self.describe(directory, metadata);
        self.link(parent, name, directory);
        Ok(())
    }

    pub(super) fn leaf(
        &mut self,
        path: &LayerPath,
        metadata: Metadata,
        content: Content,
    ) -> Result<()> {
        let (parent, name) = self.place(path)?;
        let node = self.tree.add(metadata, content, self.layer);
        self.link(parent, &name, node);
        Ok(())
    }

    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()> {
        let missing = || {
            Error::invalid(format!(
                "hard link {path} has the target {target}, which neither its layer has before it \
                 nor a layer below"
            ))
        };
        let (target_parent, target_name) = target.split().ok_or_else(missing)?;
        let trail = self
            .walk(&target_parent, target, Missing::Leave)?
            .ok_or_else(missing)?;
        let source = self
            .tree
            .child(trail.directory(), target_name)
            .ok_or_else(missing)?;
        if self.tree.is_directory(source.node) {
            return Err(Error::invalid(format!(
                "hard link {path} has the directory {target} as its target"
            )));
        }
        let made_in = self.tree.node(source.node).layer;
        match (made_in == self.layer, trail.alone) {
            (true, true) => self.tree.apart.one_more_name(source.node),
            // Nobody who lists a directory writes such a link, and a layer that is
            // unpacked alone could lose the file.
            (true, false) => {
                return Err(Error::unsupported(format!(
                    "hard link {path} has the target {target}, which leads through a symbolic \
                     link of a lower layer to a file of the same layer; name that file by its \
                     own path"
                )));
            }
            (false, _) => {
                if source.layer == made_in {
                    let path = trail.path(target_name);
                    self.tree.apart.linked_from_above(source.node, path);
                }
            }
        }
        let (parent, name) = self.place(path)?;
        self.link(parent, &name, source.node);
        Ok(())
    }

    pub(super) fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            return Ok(());
        };
        let Some(trail) = self.walk(&parent, path, Missing::CreateUnlessHidden)? else {
            return Ok(());
        };
        let parent = trail.directory();
        match self.tree.child(parent, name) {
            Some(entry) if entry.layer == self.layer => {
                if self.tree.is_directory(entry.node) {
                    self.purge(entry.node);
                    let layer = self.layer;
                    let node = self.tree.node_mut(entry.node);
                    if node.layer != layer {
                        node.metadata = Metadata::implied_directory();
                        node.layer = layer;
                    }
                }
            }
            found => {
                if found.is_some()
                    && let Some(entries) = self.tree.entries_mut(parent)
                {
                    entries.by_name.remove(name);
                }
                self.hidden.insert((parent, name.into()));
            }
        }
        Ok(())
    }

    fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        match self.walk(path, path, Missing::CreateUnlessHidden)? {
            // Never one behind a link.
            Some(trail) if trail.direct => self.purge(trail.directory()),
            _ => {}
        }
        Ok(())
    }

    /// Removes what lower layers have in a directory, at any depth.
    fn purge(&mut self, directory: NodeId) {
        let layer = self.layer;
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            let Some(entries) = self.tree.entries_mut(directory) else {
                continue;
            };
            entries.bottom = layer;
            entries.by_name.retain(|_, entry| entry.layer == layer);
            pending.extend(entries.by_name.values().map(|entry| entry.node));
        }
    }

    /// Notes the directories in which unpacking the layer leaves a whiteout.
    fn note_whiteouts(&mut self) {
        for (directory, _) in &self.hidden {
            self.tree.apart.whiteout_in(*directory, self.layer);
        }
    }

    fn describe(&mut self, directory: NodeId, metadata: Metadata) {
        let layer = self.layer;
        let node = self.tree.node_mut(directory);
        node.metadata = metadata;
        node.layer = layer;
    }

    /// Gives a node a name, in place of whatever has it.
    fn link(&mut self, parent: NodeId, name: &[u8], node: NodeId) {
        let layer = self.layer;
        if !self.hidden.is_empty() {
            self.hidden.remove(&(parent, Box::from(name)));
        }
        let Some(entries) = self.tree.entries_mut(parent) else {
            return;
        };
        let replaced = entries.by_name.insert(name.into(), Dirent { node, layer });
        if let Some(replaced) = replaced {
            if replaced.node != node && self.tree.is_directory(replaced.node) {
                self.parent = None;
            }
            if self.tree.apart.counts_names() {
                self.forget_names(replaced, node);
            }
        }
    }

    /// Counts one name less for a file of this layer that is replaced, or for all
    /// in a directory that is.
    fn forget_names(&mut self, replaced: Dirent, by: NodeId) {
        let mut pending = vec![replaced];
        while let Some(entry) = pending.pop() {
            let node = self.tree.node(entry.node);
            if entry.layer != self.layer {
                continue;
            }
            if self.tree.is_directory(entry.node) {
                if entry.node != by {
                    pending.extend(self.tree.dirents(entry.node).map(|(_, entry)| entry));
                }
            } else if node.layer == self.layer {
                self.tree.apart.one_name_less(entry.node);
            }
        }
    }

    /// The directory that `path` goes into, and its name there.
    fn place(&mut self, path: &LayerPath) -> Result<(NodeId, Vec<u8>)> {
        let Some((parent, name)) = path.split() else {
            return Err(Error::invalid("an entry would replace the root directory"));
        };
        Ok((self.parent(&parent, path, name)?, name.to_vec()))
    }

    fn parent(&mut self, path: &LayerPath, entry: &LayerPath, name: &[u8]) -> Result<NodeId> {
        if let Some((known, trail)) = &self.parent
            && known == path
        {
            trail.require_room_for(name, entry)?;
            return Ok(trail.directory());
        }
        let trail = self
            .walk(path, entry, Missing::Create)?
            .ok_or_else(|| Error::invalid(format!("entry {entry} has no parent directory")))?;
        trail.require_room_for(name, entry)?;
        let directory = trail.directory();
        if trail.direct {
            self.parent = Some((path.clone(), trail));
        }
        Ok(directory)
    }

    /// Finds the directory `path`, making what is missing, and marks the way
    /// there as this layer's.
    fn walk(
        &mut self,
        path: &LayerPath,
        entry: &LayerPath,
        missing: Missing,
    ) -> Result<Option<Trail>> {
        let mut trail = Trail {
            steps: Vec::new(),
            length: 0,
            direct: true,
            alone: true,
        };
        let mut pending: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                trail.leave();
                continue;
            }
            let here = trail.directory();
            match self.step(here, &name, entry, missing, trail.direct)? {
                Step::Into(directory, ours) => {
                    trail.require_room_for(&name, entry)?;
                    trail.alone &= ours;
                    trail.enter(directory, name);
                }
                Step::Nowhere => return Ok(None),
                Step::Link(target, ours) => {
                    links += 1;
                    trail.direct = false;
                    trail.alone &= ours;
                    if links > SYMLINKS_MAX || target.len() > PATH_MAX {
                        return Err(Error::new(
                            ErrorKind::UnsafePath,
                            format!("entry {entry} leads through too many symbolic links"),
                        ));
                    }
                    if target.starts_with(b"/") {
                        trail.leave_all();
                    }
                    for part in target.split(|&byte| byte == b'/').rev() {
                        if !matches!(part, b"" | b".") {
                            pending.push_front(part.to_vec());
                        }
                    }
                }
            }
        }
        Ok(Some(trail))
    }

    fn step(
        &mut self,
        here: NodeId,
        name: &[u8],
        entry: &LayerPath,
        missing: Missing,
        direct: bool,
    ) -> Result<Step> {
        let Some(found) = self.tree.child(here, name) else {
            let hidden = self.hidden.contains(&(here, Box::from(name)));
            let create = match missing {
                Missing::Create => true,
                Missing::CreateUnlessHidden => direct && !hidden,
                Missing::Leave => false,
            };
            return Ok(if create {
                Step::Into(self.imply(here, name), true)
            } else {
                Step::Nowhere
            });
        };
        let ours = found.layer == self.layer;
        let node = self.tree.node(found.node);
        // Made by this layer, and not only named.
        let own = ours && node.layer == self.layer;
        match &node.content {
            Content::Directory(_) => {
                if missing == Missing::CreateUnlessHidden && !direct && !ours {
                    return Ok(Step::Nowhere);
                }
                if missing != Missing::Leave && !ours {
                    self.link(here, name, found.node);
                }
                Ok(Step::Into(found.node, ours))
            }
            Content::Symlink(target) if own || missing == Missing::Leave => {
                Ok(Step::Link(target.to_vec(), own))
            }
            content if ours && !matches!(content, Content::Symlink(_)) => {
                Err(Error::invalid(format!(
                    "entry {entry} is below {}, which is not a directory",
                    quoted(name)
                )))
            }
            _ => match missing {
                Missing::Leave => Ok(Step::Nowhere),
                Missing::CreateUnlessHidden if !direct || ours => Ok(Step::Nowhere),
                Missing::Create | Missing::CreateUnlessHidden => {
                    Ok(Step::Into(self.imply(here, name), true))
                }
            },
        }
    }

    fn imply(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let directory = self.tree.add_directory(self.layer);
        self.link(parent, name, directory);
        directory
    }
}

/// Where a name leads, and whether it does so in the layer alone.
enum Step {
    Into(NodeId, bool),
    Link(Vec<u8>, bool),
    Nowhere,
}
