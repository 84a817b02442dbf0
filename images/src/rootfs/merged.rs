//! A stack of layers read as overlayfs would merge it, without mounting it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, openat, readlinkat, statat};
use rustix::io::Errno;

use super::FileKind;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::store::layout::open_dir;
use crate::tree::lookup::{SYMLINKS_MAX, components};
use crate::unpack::path::{is_whiteout, opaque_xattr};

const OPEN_DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Open roots of the layers, topmost first.
#[derive(Debug)]
pub(super) struct Merged {
    roots: Vec<OwnedFd>,
}

/// The directories that together make up one merged directory, topmost first.
enum Stack<'a> {
    Root(&'a [OwnedFd]),
    Below(Vec<OwnedFd>),
}

impl Stack<'_> {
    fn directories(&self) -> &[OwnedFd] {
        match self {
            Self::Root(fds) => fds,
            Self::Below(fds) => fds,
        }
    }
}

/// Something in the merged tree, in the layer that decides about it.
pub(super) struct Object {
    stat: Stat,
    /// The directory it is in, and its name there; `None` for the root.
    place: Option<(OwnedFd, Vec<u8>)>,
}

impl Object {
    pub(super) fn kind(&self) -> FileKind {
        FileKind::new(&self.stat)
    }

    pub(super) fn open(self) -> Result<Option<File>> {
        let (Some((parent, name)), FileKind::File { .. }) = (&self.place, self.kind()) else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(parent, name.as_slice(), flags, Mode::empty())
            .doing(|| "opening a file of the image".to_owned())?;
        Ok(Some(File::from(file)))
    }
}

impl Merged {
    /// Opens layers, topmost first; those below an opaque root are left out.
    pub(super) fn open(layers: &[PathBuf]) -> Result<Self> {
        let mut roots = Vec::new();
        for path in layers {
            let failed = || format!("opening layer {}", quoted_path(path));
            let root = open_dir(path).doing(failed)?;
            let opaque = is_opaque(root.as_fd()).doing(failed)?;
            roots.push(root);
            if opaque {
                break;
            }
        }
        Ok(Self { roots })
    }

    /// How many of the layers count.
    pub(super) fn depth(&self) -> usize {
        self.roots.len()
    }

    /// Finds `path`. The last component's link is followed if `follow` is set.
    pub(super) fn resolve(&self, path: &Path, follow: bool) -> Result<Option<Object>> {
        let failed = || format!("looking up {} in the image", quoted_path(path));
        let mut pending = components(path.as_os_str().as_bytes());
        // Names of the merged directories on the way, for `..`.
        let mut trail: Vec<Vec<u8>> = Vec::new();
        let mut here = Stack::Root(&self.roots);
        let mut object = self.root().doing(failed)?;
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if !object.kind().is_directory() {
                return Ok(None);
            }
            if name == b".." {
                trail.pop();
                (here, object) = self.reopen(&trail).doing(failed)?;
                continue;
            }
            let Some((found, below)) = step(here.directories(), &name).doing(failed)? else {
                return Ok(None);
            };
            let is_link = FileType::from_raw_mode(found.stat.st_mode) == FileType::Symlink;
            if is_link && (follow || !pending.is_empty()) {
                links += 1;
                if links > SYMLINKS_MAX {
                    return Err(Error::invalid(format!(
                        "{} leads through too many symbolic links in the image",
                        quoted_path(path)
                    )));
                }
                let target = link_target(&found).doing(failed)?;
                if target.starts_with(b"/") {
                    trail.clear();
                    (here, object) = self.reopen(&trail).doing(failed)?;
                }
                for part in components(&target).into_iter().rev() {
                    pending.push_front(part);
                }
                continue;
            }
            trail.push(name);
            (here, object) = (Stack::Below(below), found);
        }
        Ok(Some(object))
    }

    fn root(&self) -> rustix::io::Result<Object> {
        let top = self.roots.first().ok_or(Errno::NOENT)?;
        Ok(Object {
            stat: rustix::fs::fstat(top)?,
            place: None,
        })
    }

    /// Walks a trail of merged directories again from the root.
    fn reopen(&self, trail: &[Vec<u8>]) -> rustix::io::Result<(Stack<'_>, Object)> {
        let (mut here, mut object) = (Stack::Root(&self.roots), self.root()?);
        for name in trail {
            let (found, below) = step(here.directories(), name)?.ok_or(Errno::NOENT)?;
            (here, object) = (Stack::Below(below), found);
        }
        Ok((here, object))
    }
}

/// Looks `name` up in a merged directory, and collects what merges below it.
fn step(
    directories: &[OwnedFd],
    name: &[u8],
) -> rustix::io::Result<Option<(Object, Vec<OwnedFd>)>> {
    let mut found: Option<(Object, Vec<OwnedFd>)> = None;
    for directory in directories {
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            Err(Errno::NAMETOOLONG) => return Ok(None),
            other => other?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            // A whiteout, or a file in a lower layer: what is below is hidden.
            if found.is_none() && !is_whiteout(&stat) {
                let place = Some((
                    directory.try_clone().map_err(|error| errno(&error))?,
                    name.to_vec(),
                ));
                return Ok(Some((Object { stat, place }, Vec::new())));
            }
            break;
        }
        let fd = openat(directory, name, OPEN_DIR, Mode::empty())?;
        let opaque = is_opaque(fd.as_fd())?;
        let (_, below) = found.get_or_insert_with(|| (Object { stat, place: None }, Vec::new()));
        below.push(fd);
        if opaque {
            break;
        }
    }
    Ok(found)
}

fn link_target(object: &Object) -> rustix::io::Result<Vec<u8>> {
    let (parent, name) = object.place.as_ref().ok_or(Errno::INVAL)?;
    Ok(readlinkat(parent, name.as_slice(), Vec::new())?.into_bytes())
}

fn is_opaque(directory: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let mut value = [0; 1];
    match fgetxattr(directory, opaque_xattr(), &mut value) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
