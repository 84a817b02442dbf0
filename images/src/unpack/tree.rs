//! Writes a tree to disk, or a part of it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, linkat, makedev, mkdirat, openat, openat2,
    symlinkat,
};
use rustix::io::Errno;

use super::entry::Metadata;
use super::folding;
use super::metadata::{Creator, describe, set_link_owner, set_link_times, set_owner};
use super::special::Special;
use crate::Interrupt;
use crate::error::{Error, IoContext, Result, quoted};
use crate::tree::{Content, Node, NodeId, Tree};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// What a tree on disk lacks; of which an ordinary user's always lacks some.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LeftOut {
    /// Extended attributes that were not taken.
    pub(crate) xattrs: usize,
    /// Objects that do not belong to their owner.
    pub(crate) owners: usize,
    /// Names of device nodes that could not be made.
    pub(crate) devices: usize,
}

/// What of a tree is written, and where its content is.
pub(crate) trait Contents {
    /// True for a node that is to be written, like all directories above it.
    fn wants(&self, node: NodeId) -> bool;

    /// Gives a new file the content of a regular file of the tree.
    fn fill(&self, node: NodeId, file: &File) -> io::Result<()>;
}

/// Writes `tree` into the empty directory `root`.
pub(crate) fn write(
    tree: &Tree,
    root: BorrowedFd<'_>,
    contents: &impl Contents,
    interrupt: &Interrupt,
) -> Result<LeftOut> {
    let creator = Creator::below(root).doing(|| "looking at the new directory".to_owned())?;
    folding::refuse(root)?;
    let mut writer = Writer {
        tree,
        root,
        contents,
        interrupt,
        creator,
        written: HashMap::new(),
        directories: Vec::new(),
        left_out: LeftOut::default(),
    };
    let mut pending = vec![(Tree::ROOT, Vec::new())];
    while let Some((directory, path)) = pending.pop() {
        writer.directory(directory, &path, &mut pending)?;
        writer.directories.push((directory, path));
    }
    writer.finish()
}

struct Writer<'a, C> {
    tree: &'a Tree,
    root: BorrowedFd<'a>,
    contents: &'a C,
    interrupt: &'a Interrupt,
    creator: Creator,
    /// Where each node that is no directory got its first name.
    written: HashMap<NodeId, Vec<u8>>,
    /// Described at the end, so that neither modes nor times get in the way.
    directories: Vec<(NodeId, Vec<u8>)>,
    left_out: LeftOut,
}

impl<C: Contents> Writer<'_, C> {
    /// Makes what is in a directory; its own directories are left to `pending`.
    fn directory(
        &mut self,
        directory: NodeId,
        path: &[u8],
        pending: &mut Vec<(NodeId, Vec<u8>)>,
    ) -> Result<()> {
        let parent = self.open(path)?;
        for (name, id) in self.tree.entries(directory) {
            if !self.contents.wants(id) {
                continue;
            }
            let mut path = path.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let failed = || format!("writing {}", quoted(&path));
            self.interrupt.check()?;
            let node = self.tree.node(id);
            if matches!(node.content, Content::Directory(_)) {
                mkdirat(&parent, name, Mode::RWXU).doing(failed)?;
                pending.push((id, path));
            } else if let Some(first) = self.written.get(&id) {
                self.link(first, parent.as_fd(), name)?;
            } else {
                let made = self
                    .leaf(parent.as_fd(), name, id, node)
                    .map_err(|error| Error::io(failed, error))?;
                if made {
                    self.written.insert(id, path);
                }
            }
        }
        Ok(())
    }

    /// Gives what has a first name another one. Where the first is, is looked up as
    /// everything else: links that somebody puts in its way lead nowhere.
    fn link(&self, first: &[u8], parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let (above, last) = match first.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&first[..slash], &first[slash + 1..]),
            None => (&[][..], first),
        };
        let above = self.open(above)?;
        linkat(above, last, parent, name, AtFlags::empty())
            .doing(|| format!("linking to {}", quoted(first)))
    }

    /// Makes anything but a directory; false if this user may not.
    fn leaf(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        id: NodeId,
        node: &Node,
    ) -> io::Result<bool> {
        let metadata = &node.metadata;
        let (kind, number) = match &node.content {
            Content::File(_) => {
                let file = create(parent, name)?;
                self.contents.fill(id, &file)?;
                self.describe(&file, metadata)?;
                return Ok(true);
            }
            Content::Symlink(target) => {
                symlinkat(&target[..], parent, name)?;
                self.describe_link(parent, name, metadata)?;
                return Ok(true);
            }
            Content::Fifo => (FileType::Fifo, 0),
            Content::Device(device) => {
                let number = makedev(device.major, device.minor);
                (device.file_type(), number)
            }
            // Made by the caller.
            Content::Directory(_) => return Ok(true),
        };
        let made = match Special::make(parent, name, kind, number, metadata) {
            Err(Errno::PERM) if matches!(node.content, Content::Device(_)) => {
                self.left_out.devices += 1;
                return Ok(false);
            }
            other => other?,
        };
        self.owned(made.set_owner(metadata, self.creator))?;
        made.set_mode(metadata)?;
        set_link_times(parent, name, metadata)?;
        Ok(true)
    }

    fn describe(&mut self, object: impl AsFd, metadata: &Metadata) -> io::Result<()> {
        self.owned(set_owner(&object, metadata, Some(self.creator)))?;
        self.left_out.xattrs += describe(object, metadata)?;
        Ok(())
    }

    fn describe_link(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        metadata: &Metadata,
    ) -> io::Result<()> {
        self.owned(set_link_owner(parent, name, metadata, self.creator))?;
        Ok(set_link_times(parent, name, metadata)?)
    }

    /// Takes what came of a change of owner: only root may make one, and in a user
    /// name space only to ids that it has.
    fn owned(&mut self, result: rustix::io::Result<()>) -> io::Result<()> {
        match result {
            Err(Errno::PERM | Errno::INVAL) => {
                self.left_out.owners += 1;
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Gives all directories their metadata, each after what is in it.
    fn finish(mut self) -> Result<LeftOut> {
        for (id, path) in std::mem::take(&mut self.directories).into_iter().rev() {
            let directory = self.open(&path)?;
            let metadata = &self.tree.node(id).metadata;
            self.describe(&directory, metadata)
                .doing(|| format!("setting the owner and mode of {}", quoted(&path)))?;
        }
        Ok(self.left_out)
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = if path.is_empty() { b"." } else { path };
        openat2(self.root, name, flags, Mode::empty(), BENEATH)
            .doing(|| format!("opening {}", quoted(path)))
    }
}

fn create(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(fd))
}
