//! Writes a tree to disk, from the streams that have its content.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, chmodat, linkat, makedev, mkdirat, mknodat,
    openat, openat2, symlinkat,
};

use crate::Interrupt;
use crate::error::{Error, IoContext, Result, quoted};
use crate::tree::{Content, Extents, FileData, Node, NodeId, Tree};
use crate::unpack::metadata::{Creator, apply, apply_to_link};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Writes `tree` into the empty directory `root`; `streams` are the layers' tar
/// streams, base first. Returns how many extended attributes the file system did
/// not take.
pub(super) fn write(
    tree: &Tree,
    root: BorrowedFd<'_>,
    streams: &[File],
    interrupt: &Interrupt,
) -> Result<usize> {
    let mut writer = Writer {
        tree,
        root,
        streams,
        interrupt,
        creator: Creator::current(),
        written: HashMap::new(),
        directories: Vec::new(),
        refused_xattrs: 0,
    };
    let mut pending = vec![(tree.root(), Vec::new())];
    while let Some((directory, path)) = pending.pop() {
        writer.directory(directory, &path, &mut pending)?;
        writer.directories.push((directory, path));
    }
    writer.finish()
}

struct Writer<'a> {
    tree: &'a Tree,
    root: BorrowedFd<'a>,
    streams: &'a [File],
    interrupt: &'a Interrupt,
    creator: Creator,
    /// Where each node that is no directory got its first name.
    written: HashMap<NodeId, Vec<u8>>,
    /// Described at the end, so that neither modes nor times get in the way.
    directories: Vec<(NodeId, Vec<u8>)>,
    refused_xattrs: usize,
}

impl Writer<'_> {
    /// Makes what is in a directory; its own directories are left to `pending`.
    fn directory(
        &mut self,
        directory: NodeId,
        path: &[u8],
        pending: &mut Vec<(NodeId, Vec<u8>)>,
    ) -> Result<()> {
        let parent = self.open(path)?;
        for (name, id) in self.tree.entries(directory) {
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
                linkat(self.root, first.as_slice(), &parent, name, AtFlags::empty())
                    .doing(failed)?;
            } else {
                self.leaf(parent.as_fd(), name, node)
                    .map_err(|error| Error::io(failed, error))?;
                self.written.insert(id, path);
            }
        }
        Ok(())
    }

    fn leaf(&mut self, parent: BorrowedFd<'_>, name: &[u8], node: &Node) -> io::Result<()> {
        let metadata = &node.metadata;
        let mode = Mode::from_raw_mode(metadata.mode);
        let (kind, number) = match &node.content {
            Content::File(data) => {
                let file = create(parent, name)?;
                match data {
                    FileData::Inline(bytes) => io::Write::write_all(&mut &file, bytes)?,
                    FileData::Tar { layer, extents } => self.copy(*layer, extents, &file)?,
                }
                self.refused_xattrs += apply(&file, metadata, Some(self.creator))?;
                return Ok(());
            }
            Content::Symlink(target) => {
                symlinkat(target.as_slice(), parent, name)?;
                return Ok(apply_to_link(parent, name, metadata, self.creator)?);
            }
            Content::Fifo => (FileType::Fifo, 0),
            Content::Device(device) => {
                let number = makedev(device.major, device.minor);
                (device.file_type(), number)
            }
            // Made by the caller.
            Content::Directory(_) => return Ok(()),
        };
        mknodat(parent, name, kind, mode, number)?;
        apply_to_link(parent, name, metadata, self.creator)?;
        // A node of our own making, in a directory that nobody else can reach.
        Ok(chmodat(parent, name, mode, AtFlags::empty())?)
    }

    fn copy(&self, layer: u32, extents: &Extents, file: &File) -> io::Result<()> {
        let mut stream = self
            .streams
            .get(layer as usize - 1)
            .ok_or_else(|| io::Error::other("a file of an unknown layer"))?;
        let mut file = file;
        for (place, piece) in extents.placed() {
            stream.seek(SeekFrom::Start(place))?;
            file.seek(SeekFrom::Start(piece.offset))?;
            let copied = io::copy(&mut stream.take(piece.length), &mut file)?;
            if copied != piece.length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // A hole at the end.
        file.set_len(extents.size)
    }

    /// Gives all directories their metadata, each after what is in it.
    fn finish(mut self) -> Result<usize> {
        for (id, path) in std::mem::take(&mut self.directories).into_iter().rev() {
            let directory = self.open(&path)?;
            let metadata = &self.tree.node(id).metadata;
            self.refused_xattrs += apply(&directory, metadata, None)
                .doing(|| format!("setting the owner and mode of {}", quoted(&path)))?;
        }
        Ok(self.refused_xattrs)
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
