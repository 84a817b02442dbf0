//! From a zip archive to a directory.
//!
//! The archive is untrusted. Its names become nothing but single components below
//! an open directory (`unpack::path`), links are never followed out of it, and what
//! it inflates to is counted while it inflates, whatever its headers say.

use std::io::{Read, Seek, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::error::{Error, ErrorKind, IoContext, Result, quoted};
use crate::tarball::Timestamp;
use crate::unpack::entry::{Metadata, Xattrs};
use crate::unpack::name::LayerPath;
use crate::unpack::path::Tree;

/// Bytes of content moved at a time.
const CHUNK: usize = 256 * 1024;
/// Longest target of a link on Linux, in bytes.
const LINK_MAX: u64 = 4_095;
/// Type bits of a Unix mode.
const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// What an archive may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageLimits {
    /// Bytes of all its files together.
    pub bytes: u64,
    /// Entries; a tiny archive can name millions.
    pub entries: usize,
}

/// What an entry is, by its mode and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

/// Unpacks an archive into the empty directory `root` and returns the bytes of
/// its files. Directories that it replaces are moved to `graveyard`.
///
/// # Errors
///
/// `NotAnImage` for what is no zip archive, `UnsafePath` for a name that is absolute
/// or has `..`, `LimitExceeded` beyond `limits`, `Unsupported` for encryption,
/// compression other than deflate, and special files.
pub(crate) fn unpack(
    archive: impl Read + Seek,
    root: OwnedFd,
    graveyard: BorrowedFd<'_>,
    limits: PackageLimits,
) -> Result<u64> {
    let mut archive = ZipArchive::new(archive).map_err(|error| explained(error, "the archive"))?;
    if archive.len() > limits.entries {
        return Err(Error::limit(format!(
            "the archive has {} entries, and {} is the limit",
            archive.len(),
            limits.entries
        )));
    }
    let mut tree = Tree::new(root, graveyard)?;
    let mut left = limits.bytes;
    for index in 0..archive.len() {
        let shown = archive
            .name_for_index(index)
            .and_then(std::result::Result::ok)
            .map_or_else(|| format!("entry {index}"), |name| quoted(name.as_bytes()));
        let mut file = archive
            .by_index(index)
            .map_err(|error| explained(error, &shown))?;
        if file.encrypted() {
            return Err(Error::unsupported(format!("entry {shown} is encrypted")));
        }
        entry(&mut file, &mut tree, &mut left, limits.bytes)?;
    }
    tree.finish()?;
    Ok(limits.bytes - left)
}

fn entry<R: Read>(
    file: &mut ZipFile<'_, R>,
    tree: &mut Tree<'_>,
    left: &mut u64,
    limit: u64,
) -> Result<()> {
    let name = file.name_raw().to_vec();
    let path = checked_path(&name)?;
    let (kind, mode) = kind(file.unix_mode(), &name)?;
    if path.is_root() && kind != Kind::Directory {
        return Err(Error::invalid(format!(
            "entry {} would replace the root directory",
            quoted(&name)
        )));
    }
    let metadata = Metadata {
        mode,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        xattrs: Xattrs::default(),
    };
    match kind {
        Kind::Directory => tree.directory(&path, metadata),
        Kind::File => tree.file(&path, &metadata, |out| {
            let mut buffer = vec![0; CHUNK];
            loop {
                let read = file
                    .read(&mut buffer)
                    .map_err(|error| damaged(&name, &error))?;
                if read == 0 {
                    return Ok(());
                }
                take(left, read as u64, limit)?;
                out.write_all(&buffer[..read])
                    .doing(|| format!("writing file {}", quoted(&name)))?;
            }
        }),
        Kind::Link => {
            let mut target = Vec::new();
            file.take(LINK_MAX + 1)
                .read_to_end(&mut target)
                .map_err(|error| damaged(&name, &error))?;
            let usable = !target.is_empty() && target.len() as u64 <= LINK_MAX;
            if !usable || target.contains(&0) {
                return Err(Error::invalid(format!(
                    "link {} has no usable target",
                    quoted(&name)
                )));
            }
            tree.symlink(&path, &target, &metadata)
        }
    }
}

/// Names are relative, with `/` and without `..`. What tools on Windows write
/// with `\` is a name with a backslash on Lambda too.
fn checked_path(name: &[u8]) -> Result<LayerPath> {
    let climbs = name.split(|&byte| byte == b'/').any(|part| part == b"..");
    if climbs || name.starts_with(b"/") || name.contains(&0) {
        return Err(Error::new(
            ErrorKind::UnsafePath,
            format!(
                "entry {} leads out of the archive: names are relative and without \"..\"",
                quoted(name)
            ),
        ));
    }
    LayerPath::new(name)
}

/// The kind and the permissions of an entry. Setuid and its like are left out:
/// they have no effect on Lambda. An archive that knows no permissions gets those
/// that let everybody read.
fn kind(mode: Option<u32>, name: &[u8]) -> Result<(Kind, u32)> {
    let is_directory = name.ends_with(b"/");
    let permissions = mode.map(|mode| mode & 0o777);
    match mode.map_or(0, |mode| mode & TYPE_BITS) {
        DIRECTORY => Ok((Kind::Directory, permissions.unwrap_or(0o755))),
        0 | REGULAR if is_directory => Ok((Kind::Directory, 0o755)),
        0 | REGULAR => Ok((Kind::File, permissions.unwrap_or(0o644))),
        LINK => Ok((Kind::Link, 0o777)),
        other => Err(Error::unsupported(format!(
            "entry {} is neither a file nor a directory nor a symbolic link (type {other:o})",
            quoted(name)
        ))),
    }
}

fn take(left: &mut u64, bytes: u64, limit: u64) -> Result<()> {
    *left = left
        .checked_sub(bytes)
        .ok_or_else(|| Error::limit(format!("unzipped size must be smaller than {limit} bytes")))?;
    Ok(())
}

fn damaged(name: &[u8], error: &std::io::Error) -> Error {
    Error::invalid(format!("entry {} is damaged: {error}", quoted(name)))
}

fn explained(error: ZipError, what: &str) -> Error {
    match error {
        ZipError::Io(error) => Error::io(|| format!("reading {what}"), error),
        ZipError::UnsupportedArchive(reason) => {
            Error::unsupported(format!("{what} cannot be unzipped: {reason}"))
        }
        error => Error::new(
            ErrorKind::NotAnImage,
            format!("{what} cannot be unzipped: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, good) in [
            ("a", true),
            ("a/b/", true),
            ("./a", true),
            ("a\\b", true),
            ("..", false),
            ("a/../b", false),
            ("../../etc/passwd", false),
            ("/etc/passwd", false),
            ("a\0b", false),
        ] {
            assert_eq!(checked_path(name.as_bytes()).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn kinds() {
        for (mode, name, expected) in [
            (None, "f", Some((Kind::File, 0o644))),
            (None, "d/", Some((Kind::Directory, 0o755))),
            (Some(0o600), "f", Some((Kind::File, 0o600))),
            (Some(0o106_755), "f", Some((Kind::File, 0o755))),
            (Some(0o040_700), "d/", Some((Kind::Directory, 0o700))),
            (Some(0o120_777), "l", Some((Kind::Link, 0o777))),
            (Some(0o020_666), "dev", None),
            (Some(0o010_666), "fifo", None),
            (Some(0o140_666), "socket", None),
        ] {
            assert_eq!(kind(mode, name.as_bytes()).ok(), expected, "{name}");
        }
    }
}
