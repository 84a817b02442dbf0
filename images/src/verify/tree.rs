//! Compares two directory trees in everything that a function could notice.
//!
//! Both trees are read through descriptors, beneath their roots and without
//! following links: one of them is what may have been damaged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use crate::Interrupt;
use crate::error::{IoContext, Result, quoted};
use crate::store::layout::open_dir;
use crate::unpack::path::is_whiteout;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// Bytes of content compared at a time.
const CHUNK: usize = 128 * 1024;

/// What differs first between the tree at `found` and the one at `expected`, in
/// words; `None` if nothing does.
///
/// Compared are names, types, modes, owners, modification times, sizes, device
/// numbers, extended attributes, link targets, which names are links to the same
/// file, and content.
pub(crate) fn difference(
    found: &Path,
    expected: &Path,
    interrupt: &Interrupt,
) -> Result<Option<String>> {
    let found = match open_dir(found) {
        Ok(root) => Side::new(root),
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            return Ok(Some("its directory is missing".to_owned()));
        }
        Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
            return Ok(Some("it is not a directory".to_owned()));
        }
        other => Side::new(other.doing(reading)?),
    };
    let expected = Side::new(open_dir(expected).doing(reading)?);
    Comparison {
        found,
        expected,
        interrupt,
    }
    .run()
}

fn reading() -> String {
    "reading a layer".to_owned()
}

/// One of the two trees.
struct Side {
    root: OwnedFd,
    /// The first name that was seen of each file with several.
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Side {
    fn new(root: OwnedFd) -> Self {
        Self {
            root,
            links: BTreeMap::new(),
        }
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(&self.root, path, flags, Mode::empty(), BENEATH)
            .doing(|| format!("opening {} in a layer", quoted(path)))
    }

    fn first_name(&mut self, stat: &Stat, path: &[u8]) -> Vec<u8> {
        // Types of these fields differ between architectures.
        #[allow(
            clippy::allow_attributes,
            clippy::useless_conversion,
            reason = "only needed where the types are smaller"
        )]
        let key = (u64::from(stat.st_dev), u64::from(stat.st_ino));
        self.links
            .entry(key)
            .or_insert_with(|| path.to_vec())
            .clone()
    }
}

struct Comparison<'a> {
    found: Side,
    expected: Side,
    interrupt: &'a Interrupt,
}

impl Comparison<'_> {
    fn run(mut self) -> Result<Option<String>> {
        let mut directories = vec![Vec::new()];
        while let Some(path) = directories.pop() {
            let found = self.found.open(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let expected = self
                .expected
                .open(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            if path.is_empty()
                && let Some(what) = self.object(&found, &expected, b"", b".")?
            {
                return Ok(Some(what));
            }
            let names = names(&expected)?;
            if let Some(what) = differing_names(&path, &self::names(&found)?, &names) {
                return Ok(Some(what));
            }
            for name in names {
                self.interrupt.check()?;
                let child = join(&path, &name);
                if let Some(what) = self.object(&found, &expected, &child, &name)? {
                    return Ok(Some(what));
                }
                let stat = statat(&expected, &name, AtFlags::SYMLINK_NOFOLLOW).doing(reading)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    directories.push(child);
                }
            }
        }
        Ok(None)
    }

    /// Compares `name` in the two open directories; `path` is where that is.
    fn object(
        &mut self,
        found_parent: &OwnedFd,
        expected_parent: &OwnedFd,
        path: &[u8],
        name: &[u8],
    ) -> Result<Option<String>> {
        let found = statat(found_parent, name, AtFlags::SYMLINK_NOFOLLOW).doing(reading)?;
        let expected = statat(expected_parent, name, AtFlags::SYMLINK_NOFOLLOW).doing(reading)?;
        let at = |what: &str| Ok(Some(format!("/{} {what}", shown(path))));
        if let Some(what) = differing_metadata(&found, &expected) {
            return at(what);
        }
        let kind = FileType::from_raw_mode(expected.st_mode);
        if kind != FileType::Directory
            && self.found.first_name(&found, path) != self.expected.first_name(&expected, path)
        {
            return at("is linked to another file");
        }
        if kind == FileType::Symlink {
            let target = |parent| readlinkat(parent, name, Vec::new()).doing(reading);
            if target(found_parent)? != target(expected_parent)? {
                return at("leads elsewhere");
            }
        }
        if self.attributes(&self.found, path)? != self.attributes(&self.expected, path)? {
            return at("has other extended attributes");
        }
        if kind == FileType::RegularFile && !self.same_content(path)? {
            return at("has other content");
        }
        Ok(None)
    }

    fn same_content(&self, path: &[u8]) -> Result<bool> {
        let mut found = File::from(self.found.open(path, OFlags::RDONLY)?);
        let mut expected = File::from(self.expected.open(path, OFlags::RDONLY)?);
        let mut buffers = (vec![0; CHUNK], vec![0; CHUNK]);
        loop {
            self.interrupt.check()?;
            let read = fill(&mut found, &mut buffers.0)?;
            if read != fill(&mut expected, &mut buffers.1)?
                || buffers.0[..read] != buffers.1[..read]
            {
                return Ok(false);
            }
            if read < CHUNK {
                return Ok(true);
            }
        }
    }

    /// All extended attributes of an object, of whatever type it is.
    #[expect(clippy::unused_self, reason = "reads better beside its siblings")]
    fn attributes(&self, side: &Side, path: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        /// The kernel's own limits.
        const LIST_MAX: usize = 64 * 1024;
        const VALUE_MAX: usize = 64 * 1024;
        let object = side.open(path, OFlags::PATH)?;
        // The link itself if it is one: the kernel takes the descriptor's object.
        let link = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
        let mut list = vec![0; LIST_MAX];
        let length = match rustix::fs::listxattr(link.as_str(), &mut list) {
            Err(Errno::NOTSUP) => 0,
            other => other.doing(reading)?,
        };
        let mut attributes = BTreeMap::new();
        for name in list[..length]
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty())
        {
            let mut value = vec![0; VALUE_MAX];
            let length = rustix::fs::getxattr(link.as_str(), name, &mut value).doing(reading)?;
            value.truncate(length);
            attributes.insert(name.to_vec(), value);
        }
        Ok(attributes)
    }
}

/// The first difference that `stat` shows.
fn differing_metadata(found: &Stat, expected: &Stat) -> Option<&'static str> {
    let kind = FileType::from_raw_mode(expected.st_mode);
    if FileType::from_raw_mode(found.st_mode) != kind {
        return Some("is of another type");
    }
    if found.st_mode != expected.st_mode {
        return Some("has another mode");
    }
    if (found.st_uid, found.st_gid) != (expected.st_uid, expected.st_gid) {
        return Some("has another owner");
    }
    if found.st_rdev != expected.st_rdev {
        return Some("is another device");
    }
    // Nobody ever sees a whiteout, and the unpacker leaves its time alone.
    if !is_whiteout(expected)
        && (found.st_mtime, found.st_mtime_nsec) != (expected.st_mtime, expected.st_mtime_nsec)
    {
        return Some("has another modification time");
    }
    // What a directory's size and links mean is up to the file system.
    if kind != FileType::Directory {
        if found.st_size != expected.st_size {
            return Some("has another size");
        }
        if found.st_nlink != expected.st_nlink {
            return Some("has another number of links");
        }
    }
    None
}

fn differing_names(directory: &[u8], found: &[Vec<u8>], expected: &[Vec<u8>]) -> Option<String> {
    let path = |name: &[u8]| shown(&join(directory, name));
    if let Some(name) = expected
        .iter()
        .find(|name| found.binary_search(name).is_err())
    {
        return Some(format!("/{} is missing", path(name)));
    }
    found
        .iter()
        .find(|name| expected.binary_search(name).is_err())
        .map(|name| format!("/{} does not belong there", path(name)))
}

/// The names in a directory, sorted.
fn names(directory: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).doing(reading)? {
        let entry = entry.doing(reading)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

/// A path for a message, without the quotes that would follow the slash.
fn shown(path: &[u8]) -> String {
    quoted(path).trim_matches('"').to_owned()
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing(reading),
        }
    }
    Ok(filled)
}
