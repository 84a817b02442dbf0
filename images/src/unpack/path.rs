//! The only code that touches the tree of a layer while it is unpacked.
//!
//! Nothing is ever opened by a path that the kernel could resolve out of the
//! root: parents are opened with `openat2` beneath the root's descriptor and
//! without following links, or, when the layer itself made a link of a parent,
//! component by component with the link's target taken from the root. The last
//! component is created exclusively and never followed.
//!
//! Whiteouts take overlayfs's form: a character device 0:0 for a name, the
//! attribute `trusted.overlay.opaque` for a directory (`user.overlay.opaque` in a
//! user namespace, whose root may not set the other). They act on lower layers
//! only: what the same layer has, before or after, stays. A directory that
//! replaces something else of its layer is opaque, since that something had
//! hidden the lower directory already.
//!
//! The rules are those of `tree::apply` for a layer of which the lower ones are not
//! known. A hard link to what the layer does not have becomes a whiteout: whatever
//! has its name below is replaced, and the link itself is for `tree::joint`.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags, fsetxattr, linkat,
    mkdirat, mknodat, openat, openat2, readlinkat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::entry::{Device, Metadata};
use super::folding;
use super::metadata::{Creator, apply, apply_to_link, set_link_times};
use super::name::{LayerPath, PATH_MAX};
use super::special::Special;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::owners::owners;

/// overlayfs's mark for a directory that hides what is below it, and its form in a
/// user namespace.
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
const OPAQUE_XATTR_UNPRIVILEGED: &str = "user.overlay.opaque";
/// Most symlinks followed for one name; Linux's own limit.
const SYMLINKS_MAX: usize = 40;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const OPEN_DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const OPEN_PATH: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The tree of one layer.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    root: OwnedFd,
    /// Takes directories that are replaced; emptied by its owner.
    graveyard: BorrowedFd<'a>,
    creator: Creator,
    /// Applied at the end, so that neither modes nor times get in the way.
    directories: BTreeMap<Vec<u8>, Metadata>,
    /// The last parent; forgotten whenever a directory is replaced.
    parent: Option<Parent>,
    refused_xattrs: usize,
}

/// An open directory, and where it really is.
#[derive(Debug, Clone)]
struct Parent {
    fd: Arc<OwnedFd>,
    path: LayerPath,
}

/// What to do about a parent that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    /// Create it, unless the way there leads over a link or a whiteout: then the
    /// entry has nothing to act on.
    CreateUnlessHidden,
    Leave,
}

impl<'a> Tree<'a> {
    /// The tree in the empty directory `root`.
    pub(crate) fn new(root: OwnedFd, graveyard: BorrowedFd<'a>) -> Result<Self> {
        let creator = Creator::below(&root).doing(|| "looking at the layer".to_owned())?;
        folding::refuse(root.as_fd())?;
        Ok(Self {
            root,
            graveyard,
            creator,
            directories: BTreeMap::from([(Vec::new(), Metadata::implied_directory())]),
            parent: None,
            refused_xattrs: 0,
        })
    }

    pub(crate) fn directory(&mut self, path: &LayerPath, metadata: Metadata) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            self.directories.insert(Vec::new(), metadata);
            return Ok(());
        };
        let parent = self.parent(&parent, path)?;
        let failed = || format!("creating directory {path}");
        match mkdirat(&parent.fd, name, Mode::RWXU) {
            Err(Errno::EXIST) => {
                if kind(&parent, name).doing(failed)? != Some(FileType::Directory) {
                    replace_by_directory(&parent, name).doing(failed)?;
                }
            }
            other => other.doing(failed)?,
        }
        self.directories
            .insert(parent.path.join(name)?.as_bytes().to_vec(), metadata);
        Ok(())
    }

    /// Creates a file and lets `fill` write its content.
    pub(crate) fn file(
        &mut self,
        path: &LayerPath,
        metadata: &Metadata,
        fill: impl FnOnce(&mut std::fs::File) -> Result<()>,
    ) -> Result<()> {
        let failed = || format!("writing file {path}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.create(path, |parent, name| {
            openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut opened = std::fs::File::from(fd);
        fill(&mut opened)?;
        self.refused_xattrs += apply(&opened, metadata, Some(self.creator)).doing(failed)?;
        Ok(())
    }

    pub(crate) fn symlink(
        &mut self,
        path: &LayerPath,
        target: &[u8],
        metadata: &Metadata,
    ) -> Result<()> {
        let creator = self.creator;
        self.refused_xattrs += metadata.xattrs.len();
        self.create(path, |parent, name| {
            symlinkat(target, parent, name)?;
            apply_to_link(parent, name, metadata, creator)
        })
    }

    pub(crate) fn fifo(&mut self, path: &LayerPath, metadata: &Metadata) -> Result<()> {
        self.special(path, FileType::Fifo, 0, metadata)
    }

    pub(crate) fn device(
        &mut self,
        path: &LayerPath,
        device: Device,
        metadata: &Metadata,
    ) -> Result<()> {
        let number = rustix::fs::makedev(device.major, device.minor);
        self.special(path, device.file_type(), number, metadata)
    }

    fn special(
        &mut self,
        path: &LayerPath,
        kind: FileType,
        number: u64,
        metadata: &Metadata,
    ) -> Result<()> {
        let creator = self.creator;
        self.refused_xattrs += metadata.xattrs.len();
        self.create(path, |parent, name| {
            let node = Special::make(parent, name, kind, number, metadata)?;
            node.set_owner(metadata, creator)?;
            node.set_mode(metadata)?;
            set_link_times(parent, name, metadata)
        })
    }

    pub(crate) fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()> {
        let failed = || format!("linking {path} to {target}");
        let source = match target.split() {
            Some((parent, name)) => self
                .walk(&parent, target, Missing::Leave)?
                .map(|parent| (parent, name)),
            None => None,
        };
        let found = match &source {
            Some((parent, name)) => found(parent, name).doing(failed)?,
            None => None,
        };
        let (Some((source, target_name)), Some(stat)) =
            (source, found.filter(|stat| !is_whiteout(stat)))
        else {
            return self.create(path, make_whiteout);
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Error::invalid(format!(
                "hard link {path} has the directory {target} as its target"
            )));
        }
        let same = |parent: &BorrowedFd<'_>, name: &[u8]| {
            statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino))
        };
        // The link may be there already, under this or another spelling of its
        // parent; replacing it by itself would lose the file.
        let linked = self.create(path, |parent, name| {
            match linkat(&source.fd, target_name, parent, name, AtFlags::empty()) {
                Err(Errno::EXIST) if same(&parent, name) => Ok(()),
                other => other,
            }
        });
        linked.map_err(|error| error.within(&failed()))
    }

    pub(crate) fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            return Ok(());
        };
        let Some(parent) = self.walk(&parent, path, Missing::CreateUnlessHidden)? else {
            return Ok(());
        };
        let failed = || format!("hiding {path}");
        match kind(&parent, name).doing(failed)? {
            None => make_whiteout(parent.fd.as_fd(), name).doing(failed),
            Some(FileType::Directory) => {
                let directory = openat(&parent.fd, name, OPEN_DIR, Mode::empty()).doing(failed)?;
                make_opaque(&directory).doing(failed)
            }
            // Hidden by what this layer has in its place.
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        let failed = || format!("hiding the content of {path}");
        let Some(parent) = self.walk_opaque(path)? else {
            return Ok(());
        };
        // The parent is an O_PATH descriptor, which takes no attributes.
        let directory = openat(&parent.fd, ".", OPEN_DIR, Mode::empty()).doing(failed)?;
        make_opaque(&directory).doing(failed)
    }

    /// Gives all directories their metadata; returns how many extended
    /// attributes the file system did not take.
    pub(crate) fn finish(mut self) -> Result<usize> {
        // Children sort behind their parents, so this goes bottom-up.
        for (path, metadata) in std::mem::take(&mut self.directories).into_iter().rev() {
            let path = LayerPath::new(&path)?;
            let failed = || format!("setting the owner and mode of {path}");
            let directory = if path.is_root() {
                self.root.try_clone().doing(failed)?
            } else {
                openat2(
                    &self.root,
                    path.as_bytes(),
                    OPEN_DIR,
                    Mode::empty(),
                    BENEATH,
                )
                .doing(failed)?
            };
            self.refused_xattrs += apply(&directory, &metadata, None).doing(failed)?;
        }
        Ok(self.refused_xattrs)
    }

    /// Creates something that is not a directory, replacing what has its name.
    fn create<T>(
        &mut self,
        path: &LayerPath,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let failed = || format!("creating {path}");
        let Some((parent, name)) = path.split() else {
            return Err(Error::invalid("an entry would replace the root directory"));
        };
        let parent = self.parent(&parent, path)?;
        match make(parent.fd.as_fd(), name) {
            Err(Errno::EXIST) => {
                self.clear(&parent, name).doing(failed)?;
                make(parent.fd.as_fd(), name).doing(failed)
            }
            other => other.doing(failed),
        }
    }

    /// Removes whatever has this name.
    fn clear(&mut self, parent: &Parent, name: &[u8]) -> std::io::Result<()> {
        if kind(parent, name)? != Some(FileType::Directory) {
            return Ok(unlinkat(&parent.fd, name, AtFlags::empty())?);
        }
        let path = parent.path.join(name)?;
        let grave = format!("replaced-{}", crate::unique::unique());
        renameat(&parent.fd, name, self.graveyard, grave)?;
        self.parent = None;
        self.directories.remove(path.as_bytes());
        let inside = [path.as_bytes(), b"/"].concat();
        let past = [path.as_bytes(), b"0"].concat();
        let gone: Vec<_> = self
            .directories
            .range(inside..past)
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.directories.remove(&path);
        }
        Ok(())
    }

    /// The directory that `entry` goes into, made if it is missing.
    fn parent(&mut self, path: &LayerPath, entry: &LayerPath) -> Result<Parent> {
        self.walk(path, entry, Missing::Create)?
            .ok_or_else(|| Error::invalid(format!("entry {entry} has no parent directory")))
    }

    fn walk(
        &mut self,
        path: &LayerPath,
        entry: &LayerPath,
        missing: Missing,
    ) -> Result<Option<Parent>> {
        if let Some(parent) = self.parent.as_ref().filter(|parent| parent.path == *path) {
            return Ok(Some(parent.clone()));
        }
        let found = match self.open_plain(path) {
            Ok(fd) => Some(Parent {
                fd: Arc::new(fd),
                path: path.clone(),
            }),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
                self.walk_slowly(path, entry, missing)?
            }
            Err(Errno::NOSYS) => return Err(needs_openat2()),
            Err(error) => return Err(error).doing(|| format!("opening the parent of {entry}")),
        };
        // Only what was reached without links is remembered: that stays true until
        // a directory is replaced, while a link may be replaced at any time.
        if let Some(parent) = found.as_ref().filter(|parent| parent.path == *path) {
            self.parent = Some(parent.clone());
        }
        Ok(found)
    }

    /// The directory to make opaque: never one behind a link.
    fn walk_opaque(&mut self, path: &LayerPath) -> Result<Option<Parent>> {
        let Some(parent) = self.walk(path, path, Missing::CreateUnlessHidden)? else {
            return Ok(None);
        };
        Ok((parent.path == *path).then_some(parent))
    }

    fn open_plain(&self, path: &LayerPath) -> rustix::io::Result<OwnedFd> {
        let name: &[u8] = if path.is_root() {
            b"."
        } else {
            path.as_bytes()
        };
        openat2(&self.root, name, OPEN_PATH, Mode::empty(), BENEATH)
    }

    /// Resolves a path by hand: through links of this layer, with `..` and
    /// absolute targets kept inside the root, making what is missing.
    fn walk_slowly(
        &mut self,
        path: &LayerPath,
        entry: &LayerPath,
        missing: Missing,
    ) -> Result<Option<Parent>> {
        let failed = || format!("opening the parent of {entry}");
        let mut pending: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut here = Parent {
            fd: Arc::new(self.open_plain(&LayerPath::default()).doing(failed)?),
            path: LayerPath::default(),
        };
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                let up = here.path.split().map(|(up, _)| up).unwrap_or_default();
                here.fd = Arc::new(self.open_plain(&up).doing(failed)?);
                here.path = up;
                continue;
            }
            let stat = match statat(&here.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => None,
                other => Some(other.doing(failed)?),
            };
            let hidden = stat.as_ref().is_some_and(is_whiteout);
            match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Some(FileType::Directory) => {}
                Some(FileType::Symlink) => {
                    links += 1;
                    let target = readlinkat(&here.fd, &name, Vec::new()).doing(failed)?;
                    let target = target.as_bytes();
                    if links > SYMLINKS_MAX || target.len() > PATH_MAX {
                        return Err(Error::new(
                            ErrorKind::UnsafePath,
                            format!("entry {entry} leads through too many symbolic links"),
                        ));
                    }
                    if target.starts_with(b"/") {
                        here.fd = Arc::new(self.open_plain(&LayerPath::default()).doing(failed)?);
                        here.path = LayerPath::default();
                    }
                    for part in target.split(|&byte| byte == b'/').rev() {
                        if !matches!(part, b"" | b".") {
                            pending.push_front(part.to_vec());
                        }
                    }
                    continue;
                }
                None if missing == Missing::Create
                    || (missing == Missing::CreateUnlessHidden && links == 0) =>
                {
                    mkdirat(&here.fd, &name, Mode::RWXU).doing(failed)?;
                    self.imply(&here, &name)?;
                }
                Some(_) if hidden && missing == Missing::Create => {
                    replace_by_directory(&here, &name).doing(failed)?;
                    self.imply(&here, &name)?;
                }
                None => return Ok(None),
                Some(_) if hidden => return Ok(None),
                Some(_) => {
                    return Err(Error::invalid(format!(
                        "entry {entry} is below {}, which is not a directory",
                        here.path.join(&name)?
                    )));
                }
            }
            here.fd = Arc::new(openat(&here.fd, &name, OPEN_PATH, Mode::empty()).doing(failed)?);
            here.path = here.path.join(&name)?;
        }
        Ok(Some(here))
    }

    fn imply(&mut self, parent: &Parent, name: &[u8]) -> Result<()> {
        let path = parent.path.join(name)?.as_bytes().to_vec();
        self.directories.insert(path, Metadata::implied_directory());
        Ok(())
    }
}

/// Opens the root of a tree.
pub(crate) fn open_root(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OPEN_DIR, Mode::empty())
}

/// overlayfs's mark for an opaque directory, in the form that this process may set.
pub(crate) fn opaque_xattr() -> &'static str {
    if owners().are_all() {
        OPAQUE_XATTR
    } else {
        OPAQUE_XATTR_UNPRIVILEGED
    }
}

pub(crate) fn make_opaque(directory: impl AsFd) -> rustix::io::Result<()> {
    fsetxattr(directory, opaque_xattr(), b"y", XattrFlags::empty())
}

/// True for overlayfs's form of a whiteout.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn make_whiteout(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
    mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

fn replace_by_directory(parent: &Parent, name: &[u8]) -> rustix::io::Result<()> {
    unlinkat(&parent.fd, name, AtFlags::empty())?;
    mkdirat(&parent.fd, name, Mode::RWXU)?;
    make_opaque(openat(&parent.fd, name, OPEN_DIR, Mode::empty())?)
}

fn kind(parent: &Parent, name: &[u8]) -> rustix::io::Result<Option<FileType>> {
    Ok(found(parent, name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

fn found(parent: &Parent, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    }
}

fn needs_openat2() -> Error {
    Error::unsupported("unpacking needs the system call openat2 (Linux 5.6 or later)")
}
