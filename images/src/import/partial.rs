//! [`Partials`]: what has been downloaded of blobs, until their image is stored.
//!
//! The store keeps streams, and a stream that breaks off cannot be continued: that
//! would take the state of the decoder. So the bytes of a blob that come over a
//! network are written to a file first, which is deleted when the image is stored,
//! mostly before the kernel has brought it to disk. What a killed pull or a lost
//! connection leaves is read by the next pull before it asks for the rest.
//!
//! Such a file is never trusted: the digest is checked over all of the blob. Its
//! owner holds a lock on it. Pulls that failed for another reason than the network
//! leave none, others are removed by `image prune`, and by later pulls once they are
//! too old or too many.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::Digest;
use crate::error::{IoContext, Result, quoted_path};
use crate::manifest::Descriptor;
use crate::store::layout::Layout;
use crate::unpack::limits::IMAGE_BYTES_MAX;

/// Smallest blob that is worth it, in bytes: less is downloaded again in no time.
const BLOB_MIN: u64 = 1024 * 1024;
/// How long a pull has to be taken up again.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most bytes that are left to later pulls: one image of the largest size.
const BYTES_MAX: u64 = IMAGE_BYTES_MAX;

/// The files that one import writes to.
#[derive(Debug)]
pub(super) struct Partials<'a> {
    layout: &'a Layout,
    taken: Mutex<Vec<Taken>>,
}

#[derive(Debug)]
struct Taken {
    path: PathBuf,
    /// Holds the lock.
    file: Arc<File>,
    /// Bytes that were there already.
    found: u64,
}

/// One file: what it had, and then what is appended to it.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: PathBuf,
    file: Arc<File>,
    /// Bytes that were there already.
    pub(super) found: u64,
}

impl<'a> Partials<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            taken: Mutex::default(),
        }
    }

    /// The file of a blob; none for a small one, and none if somebody else downloads
    /// into it.
    pub(super) fn take(&self, blob: &Descriptor) -> Result<Option<Partial>> {
        if blob.size < BLOB_MIN {
            return Ok(None);
        }
        let path = self.layout.partial(&blob.digest);
        let failed = || format!("opening {}", quoted_path(&path));
        loop {
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
                .doing(failed)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            let metadata = file.metadata().doing(failed)?;
            let found = metadata.len();
            match metadata.nlink() {
                // Removed by its last owner before the lock was ours.
                0 => continue,
                1 if found <= blob.size => {}
                // Of no use; or, where it has two names, a blob of the store already,
                // which must not be written to.
                _ => {
                    fs::remove_file(&path).doing(failed)?;
                    continue;
                }
            }
            let file = Arc::new(file);
            self.taken().push(Taken {
                path: path.clone(),
                file: Arc::clone(&file),
                found,
            });
            return Ok(Some(Partial { path, file, found }));
        }
    }

    /// True if one of the files had something in it, which may have been wrong.
    pub(super) fn have_helped(&self) -> bool {
        self.taken().iter().any(|taken| taken.found > 0)
    }

    /// Removes the files: they have served, or are of no use.
    pub(super) fn remove(&self) {
        for taken in self.taken().drain(..) {
            if let Err(error) = fs::remove_file(&taken.path) {
                tracing::debug!(path = %taken.path.display(), %error, "a download stays behind");
            }
            // The lock ends after the name.
            drop(taken.file);
        }
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Partial {
    /// What was there when the file was opened.
    pub(super) fn beginning(&self) -> impl Read + Send + use<> {
        Beginning {
            file: Arc::clone(&self.file),
            position: 0,
            end: self.found,
        }
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_ref().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Beginning {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Beginning {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Removes what no pull has come back for, the oldest first.
pub(super) fn sweep(layout: &Layout) -> Result<()> {
    let mut files = list(layout)?;
    files.sort_by_key(|file| std::cmp::Reverse(file.modified));
    let mut total = 0;
    for file in files {
        total += file.size;
        let age = file.modified.elapsed().unwrap_or_default();
        if age > AGE_MAX || total > BYTES_MAX {
            remove(&file.path)?;
        }
    }
    Ok(())
}

/// Removes all that nobody downloads into; returns the bytes.
pub(crate) fn remove_all(layout: &Layout) -> Result<u64> {
    let mut freed = 0;
    for file in list(layout)? {
        if remove(&file.path)? {
            freed += file.size;
        }
    }
    Ok(freed)
}

struct Found {
    path: PathBuf,
    size: u64,
    modified: SystemTime,
}

fn list(layout: &Layout) -> Result<Vec<Found>> {
    let directory = layout.partials();
    let failed = || format!("listing {}", quoted_path(&directory));
    let mut found = Vec::new();
    for entry in fs::read_dir(&directory).doing(failed)? {
        let path = entry.doing(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_ours = name.is_some_and(|name| Digest::from_hex(name).is_some());
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if is_ours && metadata.is_file() {
            found.push(Found {
                path,
                size: metadata.len(),
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    Ok(found)
}

/// Removes a file, unless somebody downloads into it.
fn remove(path: &Path) -> Result<bool> {
    let failed = || format!("removing {}", quoted_path(path));
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.doing(failed)?,
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.doing(failed).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn blob(name: &str) -> Descriptor {
        Descriptor {
            media_type: String::new(),
            digest: Digest::of(name),
            size: BLOB_MIN,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    fn read(partial: &Partial) -> Vec<u8> {
        let mut bytes = Vec::new();
        partial.beginning().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_file_has_one_owner_and_what_the_last_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::open(directory.path()).unwrap();
        let first = Partials::new(&layout);
        let mut partial = first.take(&blob("a")).unwrap().unwrap();
        assert_eq!((partial.found, first.have_helped()), (0, false));
        partial.write_all(b"begin").unwrap();
        assert_eq!(read(&partial), b"", "what is new was read already");
        let second = Partials::new(&layout);
        assert!(second.take(&blob("a")).unwrap().is_none());
        assert_eq!(remove_all(&layout).unwrap(), 0, "it is in use");
        drop((partial, first));
        let partial = second.take(&blob("a")).unwrap().unwrap();
        assert_eq!((partial.found, second.have_helped()), (5, true));
        assert_eq!(read(&partial), b"begin");
        second.remove();
        assert!(!partial.path.exists());
    }

    #[test]
    fn more_than_the_blob_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::open(directory.path()).unwrap();
        let blob = blob("a");
        let bytes = vec![1; usize::try_from(blob.size + 1).unwrap()];
        fs::write(layout.partial(&blob.digest), bytes).unwrap();
        let partials = Partials::new(&layout);
        let partial = partials.take(&blob).unwrap().unwrap();
        assert_eq!((partial.found, read(&partial).len()), (0, 0));
    }

    #[test]
    fn what_became_a_blob_is_not_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::open(directory.path()).unwrap();
        let blob = blob("a");
        // As a kill leaves it between the two.
        let stored = layout.blob(&blob.digest);
        fs::write(&stored, "stored").unwrap();
        fs::hard_link(&stored, layout.partial(&blob.digest)).unwrap();
        let partials = Partials::new(&layout);
        let mut partial = partials.take(&blob).unwrap().unwrap();
        assert_eq!(partial.found, 0);
        partial.write_all(b"new").unwrap();
        assert_eq!(fs::read(stored).unwrap(), b"stored");
    }

    #[test]
    fn what_is_too_old_or_too_much_goes() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::open(directory.path()).unwrap();
        let now = SystemTime::now();
        let hours = |hours: u32| now - Duration::from_secs(3600) * hours;
        for (name, size, modified) in [
            ("new", BYTES_MAX - 10, hours(1)),
            ("fits", 10, hours(2)),
            ("one too many", 1, hours(3)),
            ("old", 0, hours(200)),
        ] {
            let file = File::create(layout.partial(&Digest::of(name))).unwrap();
            file.set_len(size).unwrap();
            file.set_modified(modified).unwrap();
        }
        fs::write(layout.partials().join("notes"), "not ours").unwrap();
        sweep(&layout).unwrap();
        let left = |name: &str| layout.partial(&Digest::of(name)).exists();
        assert_eq!(
            ["new", "fits", "one too many", "old"].map(left),
            [true, true, false, false]
        );
        assert_eq!(remove_all(&layout).unwrap(), BYTES_MAX);
        assert_eq!(fs::read_dir(layout.partials()).unwrap().count(), 1);
    }
}
