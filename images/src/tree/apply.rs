//! How one layer changes the tree of the layers below it.
//!
//! The rules are those of overlayfs over unpacked layers, which Docker, Podman
//! and containerd use: a whiteout acts on lower layers only, whatever its place
//! among the entries; a parent that is a symlink of the same layer is followed,
//! inside the root, and one of a lower layer is replaced by a directory.
//!
//! The tree is umoci's and podman's in all that system calls tell, but that
//! podman sets times before 1970 to 1970, describes a root that no layer
//! describes in its own way, and counts names of a file that are hidden.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::index::{Entry, LayerIndex};
use super::{Content, Dirent, FileData, NodeId, Tree};
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::unpack::entry::{Action, Metadata};
use crate::unpack::name::{LayerPath, PATH_MAX};

/// Most symlinks followed for one name; Linux's own limit.
const SYMLINKS_MAX: usize = 40;

/// What to do about a parent that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    /// Create it, unless the way there leads over a link or a whiteout: then the
    /// entry has nothing to act on.
    CreateUnlessHidden,
    Leave,
}

/// A directory that a walk arrived at, and whether it took no link.
#[derive(Debug, Clone, Copy)]
struct Place {
    directory: NodeId,
    direct: bool,
    /// Bytes of its real path, with a slash before each name.
    length: usize,
}

impl Place {
    /// Fails for a name here that no path could reach.
    fn require_room_for(self, name: &[u8], entry: &LayerPath) -> Result<()> {
        // The path has no slash at its beginning.
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
}

impl Tree {
    /// Merges a layer, above all that were merged before; `layer` counts from 1.
    pub(crate) fn apply(&mut self, layer: u32, index: LayerIndex) -> Result<()> {
        let mut layering = Layering::new(self, layer);
        for entry in index.entries {
            layering.entry(entry)?;
        }
        Ok(())
    }
}

impl<'a> Layering<'a> {
    pub(super) fn new(tree: &'a mut Tree, layer: u32) -> Self {
        Self {
            tree,
            layer,
            hidden: HashSet::new(),
        }
    }

    /// Does what an entry without content says.
    pub(super) fn act(&mut self, action: Action) -> Result<()> {
        self.entry(Entry {
            action,
            extents: None,
        })
    }

    fn entry(&mut self, entry: Entry) -> Result<()> {
        let Entry { action, extents } = entry;
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
                self.leaf(&path, metadata, Content::Symlink(target))
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
        let source = self
            .walk(&target_parent, target, Missing::Leave)?
            .and_then(|place| self.tree.child(place.directory, target_name))
            .ok_or_else(missing)?;
        if self.tree.is_directory(source.node) {
            return Err(Error::invalid(format!(
                "hard link {path} has the directory {target} as its target"
            )));
        }
        let (parent, name) = self.place(path)?;
        self.link(parent, &name, source.node);
        Ok(())
    }

    fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            return Ok(());
        };
        let Some(place) = self.walk(&parent, path, Missing::CreateUnlessHidden)? else {
            return Ok(());
        };
        let parent = place.directory;
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
                    && let Some(entries) = self.tree.children_mut(parent)
                {
                    entries.remove(name);
                }
                self.hidden.insert((parent, name.into()));
            }
        }
        Ok(())
    }

    fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        match self.walk(path, path, Missing::CreateUnlessHidden)? {
            // Never one behind a link.
            Some(place) if place.direct => self.purge(place.directory),
            _ => {}
        }
        Ok(())
    }

    /// Removes what lower layers have in a directory, at any depth.
    fn purge(&mut self, directory: NodeId) {
        let layer = self.layer;
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            let Some(entries) = self.tree.children_mut(directory) else {
                continue;
            };
            entries.retain(|_, entry| entry.layer == layer);
            pending.extend(entries.values().map(|entry| entry.node));
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
        self.hidden.remove(&(parent, Box::from(name)));
        if let Some(entries) = self.tree.children_mut(parent) {
            entries.insert(name.into(), Dirent { node, layer });
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
        let place = self
            .walk(path, entry, Missing::Create)?
            .ok_or_else(|| Error::invalid(format!("entry {entry} has no parent directory")))?;
        place.require_room_for(name, entry)?;
        Ok(place.directory)
    }

    /// Finds the directory `path`, making what is missing, and marks the way
    /// there as this layer's.
    fn walk(
        &mut self,
        path: &LayerPath,
        entry: &LayerPath,
        missing: Missing,
    ) -> Result<Option<Place>> {
        let mut trail = vec![(Tree::ROOT, 0)];
        let mut pending: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let (here, length) = trail.last().copied().unwrap_or((Tree::ROOT, 0));
            match self.step(here, &name, entry, missing, links == 0)? {
                Step::Into(directory) => {
                    let place = Place {
                        directory,
                        direct: links == 0,
                        length,
                    };
                    place.require_room_for(&name, entry)?;
                    trail.push((directory, length + name.len() + 1));
                }
                Step::Nowhere => return Ok(None),
                Step::Link(target) => {
                    links += 1;
                    if links > SYMLINKS_MAX || target.len() > PATH_MAX {
                        return Err(Error::new(
                            ErrorKind::UnsafePath,
                            format!("entry {entry} leads through too many symbolic links"),
                        ));
                    }
                    if target.starts_with(b"/") {
                        trail.truncate(1);
                    }
                    for part in target.split(|&byte| byte == b'/').rev() {
                        if !matches!(part, b"" | b".") {
                            pending.push_front(part.to_vec());
                        }
                    }
                }
            }
        }
        Ok(trail.last().map(|&(directory, length)| Place {
            directory,
            direct: links == 0,
            length,
        }))
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
                Step::Into(self.imply(here, name))
            } else {
                Step::Nowhere
            });
        };
        let ours = found.layer == self.layer;
        match &self.tree.node(found.node).content {
            Content::Directory(_) => {
                if missing != Missing::Leave && !ours {
                    self.link(here, name, found.node);
                }
                Ok(Step::Into(found.node))
            }
            Content::Symlink(target) if ours || missing == Missing::Leave => {
                Ok(Step::Link(target.clone()))
            }
            _ if ours => Err(Error::invalid(format!(
                "entry {entry} is below {}, which is not a directory",
                quoted(name)
            ))),
            _ => match missing {
                Missing::Leave => Ok(Step::Nowhere),
                Missing::CreateUnlessHidden if !direct => Ok(Step::Nowhere),
                Missing::Create | Missing::CreateUnlessHidden => {
                    Ok(Step::Into(self.imply(here, name)))
                }
            },
        }
    }

    fn imply(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let directory = self.tree.add(
            Metadata::implied_directory(),
            Content::Directory(BTreeMap::new()),
            self.layer,
        );
        self.link(parent, name, directory);
        directory
    }
}

enum Step {
    Into(NodeId),
    Link(Vec<u8>),
    Nowhere,
}
