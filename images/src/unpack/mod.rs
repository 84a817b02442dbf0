//! The unpacker: from a layer's tar stream to a directory for overlayfs, or to an
//! index of the stream.
//!
//! `entry` decides, `path` acts, `metadata` sets owners and modes. Layers are
//! unpacked each on its own, as Docker's and Podman's overlay drivers do: a path
//! whose parent is a symlink in a *lower* layer becomes a directory here.

pub(crate) mod decompress;
pub(crate) mod entry;
pub(crate) mod limits;
pub(crate) mod metadata;
pub(crate) mod name;
pub(crate) mod path;

use std::io::{BufRead, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use self::entry::{Action, Skipped, decide};
use self::limits::Budget;
use self::path::Tree;
use crate::error::{IoContext, Result, quoted};
use crate::tarball::{Streamed, TarReader};
use crate::tree::Extents;
use crate::tree::index::{Entry, LayerIndex};

/// Bytes of file content moved at a time.
const CHUNK: usize = 256 * 1024;

/// What was left out of a layer.
#[derive(Debug, Default)]
struct LeftOut {
    devices: usize,
    xattrs: usize,
}

impl LeftOut {
    /// One line each.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.devices > 0 {
            warnings.push(format!(
                "{} device nodes were left out; Lambda has its own /dev",
                self.devices
            ));
        }
        if self.xattrs > 0 {
            warnings.push(format!(
                "{} extended attributes were left out (file capabilities, security labels and \
                 the like have no effect on Lambda)",
                self.xattrs
            ));
        }
        warnings
    }
}

/// Unpacks one layer into the empty directory `root` and returns what was left
/// out of it, one line each.
///
/// The stream is read up to the archive's end marker; what follows is the
/// caller's. Directories that the layer replaces are moved to `graveyard`.
pub(crate) fn layer(
    stream: impl BufRead,
    root: OwnedFd,
    graveyard: BorrowedFd<'_>,
    budget: &Budget,
) -> Result<Vec<String>> {
    let mut tar = TarReader::new(Streamed(stream));
    let mut tree = Tree::new(root, graveyard);
    let mut buffer = Vec::new();
    let mut left_out = LeftOut::default();
    while let Some(member) = tar.next_member()? {
        budget.take_entry()?;
        let shown = member.path.clone();
        let decision = decide(member)?;
        left_out.xattrs += decision.dropped_xattrs;
        match decision.action {
            Action::Directory(path, metadata) => tree.directory(&path, metadata)?,
            Action::File(path, metadata) => tree.file(&path, &metadata, |file| {
                buffer.resize(CHUNK, 0);
                loop {
                    let read = tar.read_body(&mut buffer)?;
                    if read == 0 {
                        return Ok(());
                    }
                    file.write_all(&buffer[..read])
                        .doing(|| format!("writing file {}", quoted(&shown)))?;
                }
            })?,
            Action::Symlink(path, target, metadata) => tree.symlink(&path, &target, &metadata)?,
            Action::Hardlink(path, target) => tree.hardlink(&path, &target)?,
            Action::Fifo(path, metadata) => tree.fifo(&path, &metadata)?,
            Action::Whiteout(path) => tree.whiteout(&path)?,
            Action::Opaque(path) => tree.opaque(&path)?,
            Action::Skip(Skipped::Device) => left_out.devices += 1,
            Action::Skip(Skipped::AufsMetadata) => {}
        }
    }
    left_out.xattrs += tree.finish()?;
    Ok(left_out.warnings())
}

/// Lists the entries of one layer, and returns what was left out of it, one line
/// each. The stream is read as [`layer`] reads it.
pub(crate) fn index(stream: impl BufRead, budget: &Budget) -> Result<(LayerIndex, Vec<String>)> {
    let mut tar = TarReader::new(Streamed(stream));
    let mut entries = Vec::new();
    let mut left_out = LeftOut::default();
    while let Some(member) = tar.next_member()? {
        budget.take_entry()?;
        let size = member.size;
        let decision = decide(member)?;
        left_out.xattrs += decision.dropped_xattrs;
        match decision.action {
            Action::Skip(Skipped::Device) => left_out.devices += 1,
            Action::Skip(Skipped::AufsMetadata) => {}
            action => {
                let offset = tar.position();
                let extents =
                    matches!(action, Action::File(..)).then_some(Extents { size, offset });
                entries.push(Entry { action, extents });
            }
        }
    }
    Ok((LayerIndex::new(entries), left_out.warnings()))
}
