//! What an environment holds between two invocations: memory, files in `/tmp`,
//! descriptors, threads and processes. It is read from outside while the environment is
//! frozen, so the function does not pay for it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};

use super::meter::TmpDirectory;

/// Files that are looked at; a function with more has a finding without their names.
const MOST_FILES: usize = 100_000;
/// Directories in directories; deeper ones are counted and not entered.
const DEEPEST: usize = 64;
/// Of `st_blocks`.
const BLOCK: u64 = 512;

/// What is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Footprint {
    /// Bytes of memory of processes that no file backs, and of shared memory.
    pub(crate) memory_bytes: u64,
    /// Bytes in `/tmp`, as its file system counts.
    pub(crate) tmp_bytes: u64,
    /// Files and directories in `/tmp`.
    pub(crate) files: Vec<TmpFile>,
    /// The runtime, its children, and extensions.
    pub(crate) processes: Vec<HeldByProcess>,
}

/// A file in `/tmp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TmpFile {
    /// Below `/tmp`.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// A process of the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldByProcess {
    pub(crate) pid: u32,
    /// As the kernel shows it.
    pub(crate) name: String,
    pub(crate) threads: u64,
    /// What each descriptor leads to, as `/proc/PID/fd` says.
    pub(crate) descriptors: Vec<String>,
}

/// Where to look: handed out by the actor, which knows the environment's processes.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) memory_bytes: u64,
    pub(super) tmp_bytes: u64,
    pub(super) tmp: TmpDirectory,
    pub(super) processes: Vec<u32>,
}

impl Footprint {
    /// Reads all of it. What ends meanwhile is left out.
    pub(super) fn read(places: &Places) -> Self {
        let mut files = vec![];
        list(places.tmp.as_fd(), Path::new(""), 0, &mut files);
        let processes = places.processes.iter();
        Self {
            memory_bytes: places.memory_bytes,
            tmp_bytes: places.tmp_bytes,
            files,
            processes: processes.filter_map(|pid| process(*pid)).collect(),
        }
    }
}

/// The files below a directory, which a function that is not frozen may change: no link
/// of it is followed.
fn list(directory: BorrowedFd<'_>, below: &Path, depth: usize, files: &mut Vec<TmpFile>) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(opened) = openat(directory, ".", flags, Mode::empty()) else {
        return;
    };
    let Ok(entries) = Dir::read_from(&opened) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let top = below.as_os_str().is_empty();
        // mkfs makes the latter.
        if matches!(name.to_bytes(), b"." | b"..") || (top && name.to_bytes() == b"lost+found") {
            continue;
        }
        if files.len() >= MOST_FILES {
            return;
        }
        let Ok(stat) = statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let path = below.join(name.to_string_lossy().as_ref());
        files.push(TmpFile {
            path: path.clone(),
            bytes: u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK,
        });
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && depth < DEEPEST
            && let Ok(inner) = openat(&opened, name, flags, Mode::empty())
        {
            list(inner.as_fd(), &path, depth + 1, files);
        }
    }
}

/// A process of the function; none if it is gone, or Lambent's own process 1.
fn process(pid: u32) -> Option<HeldByProcess> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    if field(&status, "NSpid:")?
        .split_ascii_whitespace()
        .next_back()
        == Some("1")
    {
        return None;
    }
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let links = entries.filter_map(|entry| {
        let link = rustix::fs::readlinkat(CWD, entry.path(), vec![]).ok()?;
        Some(link.to_string_lossy().into_owned())
    });
    Some(HeldByProcess {
        pid,
        name: field(&status, "Name:")?.to_owned(),
        threads: field(&status, "Threads:")?.parse().ok()?,
        descriptors: links.collect(),
    })
}

/// The rest of the line of `/proc/PID/status` that begins with `name`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_found_and_links_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        fs::write(path("a/b/file"), vec![1; 10_000]).unwrap();
        symlink("/", path("root")).unwrap();
        let tmp = std::os::fd::OwnedFd::from(fs::File::open(directory.path()).unwrap()).into();
        let places = Places {
            memory_bytes: 1,
            tmp_bytes: 2,
            tmp,
            processes: vec![std::process::id(), u32::MAX],
        };
        let footprint = Footprint::read(&places);
        let mut found: Vec<_> = footprint
            .files
            .iter()
            .map(|file| file.path.clone())
            .collect();
        found.sort();
        assert_eq!(found, ["a", "a/b", "a/b/file", "root"].map(PathBuf::from));
        let large = footprint.files.iter().filter(|file| file.bytes >= 10_000);
        assert_eq!(large.count(), 1);
        let own = &footprint.processes[0];
        assert_eq!(
            (footprint.processes.len(), own.pid),
            (1, std::process::id())
        );
        assert!(own.threads >= 1 && own.descriptors.len() >= 3, "{own:?}");
    }
}
