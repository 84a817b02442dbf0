//! A cgroup that belongs to an ordinary user, as systemd delegates it.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ordinary::USER;
use crate::wait;

/// Where hosts have v2 alone.
const HIERARCHY: &str = "/sys/fs/cgroup";

/// What belongs to the user then beside the directory; not the limits of the group.
const FILES: [&str; 3] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A group of the ordinary user's. It goes, with what is below it, when this is dropped.
#[derive(Debug)]
pub struct Delegated {
    path: PathBuf,
}

impl Delegated {
    /// Makes one, with the controllers that functions are limited by.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn new() -> Self {
        let hierarchy = Path::new(HIERARCHY);
        fs::write(
            hierarchy.join("cgroup.subtree_control"),
            "+cpu +memory +pids",
        )
        .expect("controllers");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lambent-e2e-{}-{number}.scope", std::process::id());
        let path = hierarchy.join(name);
        fs::create_dir(&path).expect("a cgroup");
        let files = FILES.map(|file| path.join(file));
        for path in [&path].into_iter().chain(&files) {
            chown(path, Some(USER), Some(USER)).expect("the user's");
        }
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All groups below it, by their paths in it.
    ///
    /// # Panics
    /// If they cannot be read.
    pub fn groups(&self) -> Vec<String> {
        let mut groups = vec![];
        list(&self.path, &mut groups).expect("groups");
        let name = |path: &PathBuf| {
            let below = path.strip_prefix(&self.path).expect("a path below");
            below.to_string_lossy().into_owned()
        };
        groups.iter().map(name).collect()
    }
}

impl Default for Delegated {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let mut groups = vec![self.path.clone()];
        if list(&self.path, &mut groups).is_err() {
            return;
        }
        // What ends is in its group for a moment longer.
        if !std::thread::panicking() {
            wait::until("the groups are empty", || {
                groups
                    .iter()
                    .rev()
                    .all(|group| fs::remove_dir(group).is_ok() || !group.exists())
            });
        }
    }
}

/// Every directory below one, parents first.
fn list(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
            list(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Whether this host has v2 alone; says so if not. `make test-v2` has.
#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
pub fn unified() -> bool {
    let unified = Path::new(HIERARCHY).join("cgroup.controllers").exists();
    if !unified {
        eprintln!("skipped: the controllers are not those of cgroup v2");
    }
    unified
}
