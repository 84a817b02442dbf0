//! The unpacker: from a layer's tar stream to an index of it, and to a directory
//! for overlayfs.
//!
//! `entry` decides, `path` acts, `metadata` sets owners and modes. Layers are
//! unpacked each on its own, as Docker's and Podman's overlay drivers do: a path
//! whose parent is a symlink in a *lower* layer becomes a directory here. What a
//! layer alone does not tell is for `tree::joint`. `tree` writes merged trees.

pub(crate) mod decompress;
pub(crate) mod entry;
mod folding;
pub(crate) mod limits;
pub(crate) mod metadata;
pub(crate) mod name;
pub(crate) mod path;
mod special;
pub(crate) mod tree;

use std::io::{BufRead, Seek, SeekFrom, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use self::entry::{Action, Decision, Skipped, decide};
use self::limits::Budget;
use self::path::Tree;
use crate::error::{IoContext, Result, quoted};
use crate::owners::owners;
use crate::tarball::{Member, SparseMap, Streamed, TarReader};
use crate::tree::Extents;
use crate::tree::index::{Entry, LayerIndex};

/// Bytes of file content moved at a time.
const CHUNK: usize = 256 * 1024;

/// What was left out of a layer.
#[derive(Debug, Default)]
struct LeftOut {
    devices: usize,
    /// Those that only the host's root could make.
    real_devices: usize,
    xattrs: usize,
}

impl LeftOut {
    /// One line each.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.devices > 0 {
            warnings.push(format!(
                "{} device nodes with the number 0:0 were left out",
                self.devices
            ));
        }
        if self.real_devices > 0 {
            warnings.push(format!(
                "{} device nodes were left out, which only root can make (no function can use any)",
                self.real_devices
            ));
        }
        if self.xattrs > 0 {
            warnings.push(format!(
                "{} extended attributes were left out (security labels, access control lists and \
                 the like have no effect on Lambda)",
                self.xattrs
            ));
        }
        warnings
    }
}

/// The entries of a layer as they come.
#[derive(Debug, Default)]
struct Listing {
    index: LayerIndex,
    left_out: LeftOut,
}

impl Listing {
    /// Takes a member that has its bytes, if any, at these places.
    fn add(&mut self, decision: Decision, extents: Extents) -> Result<()> {
        self.left_out.xattrs += decision.dropped_xattrs;
        match decision.action {
            Action::Skip(Skipped::ZeroDevice) => self.left_out.devices += 1,
            Action::Skip(Skipped::AufsMetadata) => {}
            action => {
                let extents = matches!(action, Action::File(..)).then_some(extents);
                self.index.push(&Entry { action, extents })?;
            }
        }
        Ok(())
    }

    fn finish(self) -> (LayerIndex, Vec<String>) {
        (self.index, self.left_out.warnings())
    }
}

/// Unpacks one layer into the empty directory `root`, and returns its entries and
/// what was left out of it, one line each.
///
/// The stream is read up to the archive's end marker; what follows is the
/// caller's. Directories that the layer replaces are moved to `graveyard`.
pub(crate) fn layer(
    stream: impl BufRead,
    root: OwnedFd,
    graveyard: BorrowedFd<'_>,
    budget: &Budget,
) -> Result<(LayerIndex, Vec<String>)> {
    let mut tar = TarReader::new(Streamed(stream));
    let mut tree = Tree::new(root, graveyard)?;
    let mut buffer = Vec::new();
    let mut listing = Listing::default();
    while let Some(mut member) = tar.next_member()? {
        budget.take_entry()?;
        let shown = member.path.clone();
        let sparse = take_sparse(&mut member, budget)?;
        let extents = Extents::new(tar.position(), member.size, sparse.clone());
        let decision = decide(member)?;
        match &decision.action {
            Action::Directory(path, metadata) => tree.directory(path, metadata.clone())?,
            Action::File(path, metadata) => tree.file(path, metadata, |file| {
                buffer.resize(CHUNK, 0);
                let failed = || format!("writing file {}", quoted(&shown));
                let mut pieces = sparse.iter().flat_map(|map| &map.segments);
                let mut left = sparse.as_ref().map(|_| 0);
                loop {
                    if left == Some(0)
                        && let Some(piece) = pieces.next()
                    {
                        file.seek(SeekFrom::Start(piece.offset)).doing(failed)?;
                        left = Some(piece.length);
                    }
                    let wanted = left.map_or(CHUNK, chunk);
                    let read = tar.read_body(&mut buffer[..wanted])?;
                    if read == 0 {
                        break;
                    }
                    file.write_all(&buffer[..read]).doing(failed)?;
                    left = left.map(|left| left - read as u64);
                }
                match &sparse {
                    Some(map) => file.set_len(map.size).doing(failed),
                    None => Ok(()),
                }
            })?,
            Action::Symlink(path, target, metadata) => tree.symlink(path, target, metadata)?,
            Action::Hardlink(path, target) => tree.hardlink(path, target)?,
            Action::Fifo(path, metadata) => tree.fifo(path, metadata)?,
            Action::Device(..) if !owners().are_all() => listing.left_out.real_devices += 1,
            Action::Device(path, device, metadata) => tree.device(path, *device, metadata)?,
            Action::Whiteout(path) => tree.whiteout(path)?,
            Action::Opaque(path) => tree.opaque(path)?,
            Action::Skip(_) => {}
        }
        listing.add(decision, extents)?;
    }
    listing.left_out.xattrs += tree.finish()?;
    Ok(listing.finish())
}

/// The map of a sparse file, whose holes count like any other bytes.
fn take_sparse(member: &mut Member, budget: &Budget) -> Result<Option<SparseMap>> {
    let sparse = member.sparse.take();
    if let Some(map) = &sparse {
        budget.take_bytes(map.holes())?;
    }
    Ok(sparse)
}

/// At most a buffer of so many bytes.
fn chunk(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(CHUNK).min(CHUNK)
}

/// Lists the entries of one layer, and returns what was left out of it, one line
/// each. The stream is read as [`layer`] reads it.
pub(crate) fn index(stream: impl BufRead, budget: &Budget) -> Result<(LayerIndex, Vec<String>)> {
    let mut tar = TarReader::new(Streamed(stream));
    let mut listing = Listing::default();
    while let Some(mut member) = tar.next_member()? {
        budget.take_entry()?;
        let sparse = take_sparse(&mut member, budget)?;
        let extents = Extents::new(tar.position(), member.size, sparse);
        listing.add(decide(member)?, extents)?;
    }
    Ok(listing.finish())
}
