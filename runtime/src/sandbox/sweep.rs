//! Who is alive: each service holds a lock, and the next one that starts removes
//! the cgroups of those that are dead.
//!
//! A launcher cleans up after its service. What remains is the case that both
//! were killed at once. A kernel lock on a file is the identity: it cannot be
//! stale, and a pid that has come to mean another process plays no part.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::cgroup::Hierarchies;
use super::launcher;

/// The name and the lock of a living service. Dropping it ends its claim.
#[derive(Debug)]
pub(crate) struct ServiceLock {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl ServiceLock {
    /// Removes what dead services left and claims a new name, with `directory`
    /// as the place of the locks.
    pub(crate) fn claim(directory: &Path) -> io::Result<Self> {
        sweep(directory)?;
        let random = uuid::Uuid::new_v4().simple().to_string();
        let name = random[..12].to_owned();
        let path = directory.join(&name);
        // It gets the name that others look for only when it is locked: a file
        // without a lock is a dead service's.
        let unlocked = directory.join(format!(".{name}"));
        let lock = File::create_new(&unlocked)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&unlocked, &path)?;
        Ok(Self {
            name,
            path,
            _lock: lock,
        })
    }

    /// The name, for cgroup paths.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ServiceLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn sweep(directory: &Path) -> io::Result<()> {
    let mut hierarchies = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            remove_if_abandoned(&entry);
            continue;
        }
        // Only names that `claim` makes become part of a path.
        let Some(name) = name
            .to_str()
            .filter(|name| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
        else {
            continue;
        };
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let hierarchies = match &hierarchies {
            Some(known) => known,
            None => hierarchies.insert(Hierarchies::discover()?),
        };
        launcher::remove_dead_service(hierarchies, name);
        let _ = fs::remove_file(entry.path());
    }
    Ok(())
}

/// A claim takes microseconds to get its name; one of this age never will.
const ABANDONED: Duration = Duration::from_secs(60);

/// Removes the file of a claim whose maker was killed half-way.
fn remove_if_abandoned(entry: &fs::DirEntry) {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED)) {
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_swept_and_the_living_stay() {
        let directory = tempfile::tempdir().unwrap();
        let alive = ServiceLock::claim(directory.path()).unwrap();
        fs::write(directory.path().join("0123456789ab"), "").unwrap();
        fs::write(directory.path().join("not-ours"), "").unwrap();
        let second = ServiceLock::claim(directory.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let mut expected = vec![
            alive.name().to_owned(),
            second.name().to_owned(),
            "not-ours".to_owned(),
        ];
        expected.sort();
        assert_eq!(names, expected);
        drop(alive);
        drop(second);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
