//! [`PackageStore`]: unpacked archives by the digest of the archive.
//!
//! ```text
//! ROOT/                0700
//!   HEX/tree/          the content; HEX is the SHA-256 of the archive
//!   HEX/package.json   {"version":1,...}: sizes
//!   empty/             what overlayfs wants below a single directory
//! ```
//!
//! A package appears by a rename after it was flushed. Whoever uses one holds a
//! shared `flock` on `HEX/`; whoever removes one takes it exclusively, so that what
//! is used stays, whatever the books of its owner say.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::archive::{PackageLimits, unpack};
use super::attachment::Attachment;
use crate::Digest;
use crate::digest::Hasher;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::store::layout::{open_dir, read_small};
use crate::store::staging::Staging;

/// Version of `package.json`.
const VERSION: u32 = 1;
/// More than its few numbers ever take, in bytes.
const RECORD_MAX: u64 = 4_096;

/// What is known of a stored archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Of the archive.
    pub digest: Digest,
    /// Bytes of the archive.
    pub size: u64,
    /// Bytes of the files in it.
    pub unpacked_size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u32,
    size: u64,
    unpacked_size: u64,
}

/// A package that stays as long as this lives.
#[derive(Debug)]
pub struct PackageLease {
    package: Package,
    tree: PathBuf,
    _lock: OwnedFd,
}

impl PackageLease {
    /// What it is.
    pub fn package(&self) -> Package {
        self.package
    }

    /// Whether the archive has something with this name, links not followed.
    pub fn has(&self, name: &str) -> bool {
        self.tree.join(name).symlink_metadata().is_ok()
    }
}

/// A directory of packages, shared by any number of processes.
#[derive(Debug)]
pub struct PackageStore {
    root: PathBuf,
}

impl PackageStore {
    /// Opens the store at `root`, or makes an empty one there.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be written.
    pub fn open(root: &Path) -> Result<Self> {
        let failed = || format!("opening the package store {}", quoted_path(root));
        for directory in [root.to_owned(), root.join("empty")] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .doing(failed)?;
        }
        let root = root.canonicalize().doing(failed)?;
        Ok(Self { root })
    }

    /// Unpacks an archive, unless the store has it, and leases it.
    ///
    /// # Errors
    ///
    /// The archive is none, unsafe or beyond `limits`; or the store cannot be written.
    pub fn add(
        &self,
        mut archive: impl Read + Seek,
        limits: PackageLimits,
    ) -> Result<PackageLease> {
        let (digest, size) = digest(&mut archive)?;
        loop {
            if let Some(lease) = self.lease(&digest)? {
                if lease.package.unpacked_size > limits.bytes {
                    return Err(Error::limit(format!(
                        "unzipped size must be smaller than {} bytes",
                        limits.bytes
                    )));
                }
                return Ok(lease);
            }
            self.unpack(&mut archive, &digest, size, limits)?;
        }
    }

    /// Leases a package; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// Its record is damaged, or it cannot be read.
    pub fn lease(&self, digest: &Digest) -> Result<Option<PackageLease>> {
        let path = self.path(digest);
        let failed = || format!("opening {}", quoted_path(&path));
        let lock = match open_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(failed)?,
        };
        flock(&lock, FlockOperation::LockShared).doing(failed)?;
        // Somebody removed it between the two calls.
        if fstat(&lock).doing(failed)?.st_nlink == 0 || path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let text = read_small(&path.join("package.json"), RECORD_MAX)?.unwrap_or_default();
        let record: Record = serde_json::from_slice(&text)
            .ok()
            .filter(|record: &Record| record.version == VERSION)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "package {digest} has a damaged record: remove {} and publish it again",
                    quoted_path(&path)
                ))
            })?;
        Ok(Some(PackageLease {
            package: Package {
                digest: *digest,
                size: record.size,
                unpacked_size: record.unpacked_size,
            },
            tree: path.join("tree"),
            _lock: lock,
        }))
    }

    /// Removes what is neither in `kept` nor leased; the bytes of files it had.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn collect(&self, kept: &BTreeSet<Digest>) -> Result<u64> {
        let failed = || format!("listing {}", quoted_path(&self.root));
        let mut freed = 0;
        for entry in fs::read_dir(&self.root).doing(failed)? {
            let name = entry.doing(failed)?.file_name();
            let Some(digest) = name.to_str().and_then(Digest::from_hex) else {
                continue;
            };
            if kept.contains(&digest) {
                continue;
            }
            let path = self.path(&digest);
            let Ok(lock) = open_dir(&path) else { continue };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                other => other.doing(|| format!("locking {}", quoted_path(&path)))?,
            }
            if let Ok(Some(text)) = read_small(&path.join("package.json"), RECORD_MAX)
                && let Ok(record) = serde_json::from_slice::<Record>(&text)
            {
                freed += record.unpacked_size;
            }
            let staging = Staging::beside(&path)?;
            fs::rename(&path, staging.path().join("removed"))
                .doing(|| format!("removing {}", quoted_path(&path)))?;
        }
        Ok(freed)
    }

    /// What is to be mounted at `target` of a root: these packages, later ones over
    /// earlier ones.
    pub fn attachment<'a>(
        &self,
        target: &str,
        packages: impl IntoIterator<Item = &'a PackageLease>,
    ) -> Attachment {
        let mut directories = vec![self.root.join("empty")];
        directories.extend(packages.into_iter().map(|package| package.tree.clone()));
        directories.reverse();
        Attachment::new(target.into(), directories)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    fn unpack(
        &self,
        archive: &mut (impl Read + Seek),
        digest: &Digest,
        size: u64,
        limits: PackageLimits,
    ) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::unsupported(
                "unpacking an archive needs root, to whom its files belong on Lambda: use sudo",
            ));
        }
        let target = self.path(digest);
        let failed = || "unpacking an archive".to_owned();
        let staging = Staging::beside(&target)?;
        let directory = |name: &str| {
            let path = staging.path().join(name);
            DirBuilder::new().mode(0o700).create(&path)?;
            open_dir(&path)
        };
        let tree = directory("tree").doing(failed)?;
        let graveyard = directory("graveyard").doing(failed)?;
        archive.seek(SeekFrom::Start(0)).doing(failed)?;
        let unpacked_size = unpack(archive, tree, graveyard.as_fd(), limits)?;
        // Whatever was replaced lives on in a staging directory of its own.
        let dead = Staging::beside(&target)?;
        fs::rename(staging.path().join("graveyard"), dead.path().join("dead")).doing(failed)?;
        let record = Record {
            version: VERSION,
            size,
            unpacked_size,
        };
        let text =
            serde_json::to_vec(&record).map_err(|error| Error::invalid(error.to_string()))?;
        fs::write(staging.path().join("package.json"), text).doing(failed)?;
        rustix::fs::syncfs(staging.fd()).doing(failed)?;
        match staging.rename_to(&target) {
            // Another process was faster; its package is the same.
            Err(_) if target.is_dir() => Ok(()),
            other => other,
        }
    }
}

fn digest(archive: &mut (impl Read + Seek)) -> Result<(Digest, u64)> {
    let failed = || "reading the archive".to_owned();
    archive.seek(SeekFrom::Start(0)).doing(failed)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let read = archive.read(&mut buffer).doing(failed)?;
        if read == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}
