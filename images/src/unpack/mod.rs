//! The unpacker: from a layer's tar stream to a directory for overlayfs.
//!
//! `entry` decides, `path` acts, `metadata` sets owners and modes. Layers are
//! unpacked each on its own, as Docker's and Podman's overlay drivers do: a path
//! whose parent is a symlink in a *lower* layer becomes a directory here.

pub(crate) mod decompress;
mod entry;
pub(crate) mod limits;
mod metadata;
mod name;
pub(crate) mod path;

use std::io::{BufRead, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use self::entry::{Action, Skipped, decide};
use self::limits::Budget;
use self::path::Tree;
use crate::error::{IoContext, Result, quoted};
use crate::tarball::{Streamed, TarReader};

/// Bytes of file content moved at a time.
const CHUNK: usize = 256 * 1024;

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
    let (mut devices, mut xattrs) = (0_usize, 0_usize);
    while let Some(member) = tar.next_member()? {
        budget.take_entry()?;
        let shown = member.path.clone();
        let decision = decide(member)?;
        xattrs += decision.dropped_xattrs;
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
            Action::Skip(Skipped::Device) => devices += 1,
            Action::Skip(Skipped::AufsMetadata) => {}
        }
    }
    xattrs += tree.finish()?;
    let mut warnings = Vec::new();
    if devices > 0 {
        warnings.push(format!(
            "{devices} device nodes were left out; Lambda has its own /dev"
        ));
    }
    if xattrs > 0 {
        warnings.push(format!(
            "{xattrs} extended attributes were left out (file capabilities, security labels and \
             the like have no effect on Lambda)"
        ));
    }
    Ok(warnings)
}
