//! A tree completely: all that system calls tell about its objects.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lambent_images::{ContentStore, Digest, Image};
use rustix::fs::{Mode, OFlags};

/// Everything about one object but its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Type with content, target or number.
    pub(crate) what: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// The first of the names of this inode; none for a directory.
    pub(crate) first_name: Option<PathBuf>,
    /// Number of names, for anything but a directory.
    pub(crate) links: u64,
}

pub(crate) type Objects = BTreeMap<PathBuf, Object>;

/// Everything below `root`, and the root itself under an empty name.
///
/// Paths may be as long as the kernel allows within `root`.
pub(crate) fn objects(root: &Path) -> Objects {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty()).unwrap();
    let mut found = Objects::new();
    let mut first_names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let top_path = PathBuf::from(format!("/proc/self/fd/{}/.", top.as_raw_fd()));
    found.insert(PathBuf::new(), object(&top_path));
    let mut pending = vec![PathBuf::new()];
    while let Some(directory) = pending.pop() {
        let name = match directory.as_os_str() {
            name if name.is_empty() => OsStr::new("."),
            name => name,
        };
        let opened = rustix::fs::openat(&top, name, flags, Mode::empty()).unwrap();
        let base = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        for entry in std::fs::read_dir(&base).unwrap() {
            let name = entry.unwrap().file_name();
            let at = base.join(&name);
            let meta = at.symlink_metadata().unwrap();
            let path = directory.join(&name);
            if meta.is_dir() {
                pending.push(path.clone());
            } else {
                let inode = (meta.dev(), meta.ino());
                let first = first_names.entry(inode).or_insert_with(|| path.clone());
                if path < *first {
                    first.clone_from(&path);
                }
                inodes.insert(path.clone(), inode);
            }
            assert!(
                found.insert(path, object(&at)).is_none(),
                "{}",
                at.display()
            );
        }
    }
    for (path, inode) in inodes {
        if let Some(object) = found.get_mut(&path) {
            object.first_name = Some(first_names[&inode].clone());
        }
    }
    found
}

fn object(path: &Path) -> Object {
    let meta = path.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let number = || {
        let number = meta.rdev();
        format!(
            "{}:{}",
            rustix::fs::major(number),
            rustix::fs::minor(number)
        )
    };
    let what = if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        let target = path.read_link().unwrap().into_os_string().into_vec();
        format!("link to {}", target.escape_ascii())
    } else if kind.is_file() {
        let content = std::fs::read(path).unwrap();
        assert_eq!(content.len() as u64, meta.len(), "{}", path.display());
        format!("file of {} bytes, {}", meta.len(), Digest::of(content))
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else if kind.is_block_device() {
        format!("block device {}", number())
    } else if kind.is_char_device() {
        format!("character device {}", number())
    } else {
        format!("{kind:?}")
    };
    Object {
        what,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        xattrs: xattrs(path),
        first_name: None,
        links: if kind.is_dir() { 0 } else { meta.nlink() },
    }
}

/// Extended attributes, without those that are notes of tools to themselves.
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 128 * 1024];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut found = BTreeMap::new();
    for name in names[..length].split(|&byte| byte == 0) {
        let ours = [&b"trusted.overlay."[..], b"user.rootlesscontainers"];
        if name.is_empty() || ours.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        found.insert(name.escape_ascii().to_string(), value);
    }
    found
}

/// Fails with the objects that differ, not with both trees.
pub(crate) fn assert_same(what: &str, ours: &Objects, theirs: &Objects) {
    let differences = differences(ours, theirs);
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>();
    assert!(
        differences.is_empty(),
        "{what}: {} objects differ:\n{}",
        differences.len(),
        shown.join("\n")
    );
}

/// One line for each object that is not in both trees and equal.
pub(crate) fn differences(ours: &Objects, theirs: &Objects) -> Vec<String> {
    let mut paths: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .map(|path| {
            let shown = path.as_os_str().as_bytes().escape_ascii();
            let (ours, theirs) = (ours.get(path), theirs.get(path));
            format!("/{shown}\n  ours   {ours:?}\n  theirs {theirs:?}")
        })
        .collect()
}

/// The tree of an image as a function would see it; unmounted again.
pub(crate) fn mounted(store: &ContentStore, image: &Image, target: &Path) -> Objects {
    std::fs::create_dir_all(target).unwrap();
    let rootfs = store.rootfs(image).unwrap();
    rootfs.mount().mount(target).unwrap();
    let found = objects(target);
    rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH).unwrap();
    found
}

/// Without what the skeleton hides or describes.
pub(crate) fn without_skeleton(mut objects: Objects) -> Objects {
    let hidden = ["dev", "proc", "sys", "tmp"];
    let replaced = ["", "etc", "etc/hosts", "etc/hostname", "etc/resolv.conf"];
    objects.retain(|path, _| {
        !hidden.iter().any(|place| path.starts_with(place))
            && !replaced.iter().any(|place| path == Path::new(place))
    });
    objects
}

/// Without numbers of names: overlayfs counts names of lower layers that it hides.
pub(crate) fn without_link_counts(mut objects: Objects) -> Objects {
    for object in objects.values_mut() {
        object.links = 0;
    }
    objects
}
