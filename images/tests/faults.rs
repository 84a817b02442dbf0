//! Imports on a machine that fails: every kind of system call refused or fatal
//! at its N-th use, and file systems without room.
//!
//! `LAMBENT_FAULTS=all` takes every N; otherwise a few of each call, spread over
//! its uses.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use lambent_images::{ContentStore, ImageReference, NoProgress, Platform};
use support::mounts::in_private_mounts;
use support::{Scratch, good, is_root, large};

/// Calls that an import makes or may come to make. Those that it does not make
/// are left out by themselves.
const CALLS: [&str; 38] = [
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "read",
    "pread64",
    "openat",
    "openat2",
    "open",
    "mkdir",
    "mkdirat",
    "mknodat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "fallocate",
    "copy_file_range",
    "sendfile",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "utimensat",
    "fsetxattr",
    "flock",
    "getdents64",
    "newfstatat",
    "statx",
];
/// Uses of a call that are tried unless all are.
const SAMPLES: usize = 5;

/// The example, built from this checkout.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "lambent-images"])
        .args(["--example", "import"])
        .status();
    assert!(built.unwrap().success());
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("examples/import")
});

/// A small image, and a store that has it.
struct Expected {
    scratch: Scratch,
    file: PathBuf,
    content: Content,
}

type Content = BTreeMap<PathBuf, String>;

impl Expected {
    fn new(image: &lambent_images::writer::ImageBuilder) -> Self {
        let scratch = Scratch::in_memory();
        let file = scratch.path("image.tar");
        image.write_oci_archive(&file, "latest").unwrap();
        scratch.import(&file).unwrap();
        let content = timeless(&scratch);
        Self {
            scratch,
            file,
            content,
        }
    }

    /// Runs the import of the image into `store` under strace.
    fn traced(&self, store: &Path, options: &[&str]) -> Output {
        Command::new("strace")
            .args(["--follow-forks", "--quiet=all"])
            .args(options)
            .arg(&*PROGRAM)
            .arg(store)
            .arg(&self.file)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// How often one thread makes each call at most.
    fn uses(&self) -> BTreeMap<String, usize> {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let output = self.traced(
            &directory.path().join("store"),
            &[&format!("--output={}", log.display())],
        );
        assert!(output.status.success(), "{output:?}");
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in fs::read_to_string(&log).unwrap().lines() {
            let mut words = line.split_whitespace();
            let (Some(thread), Some(call)) = (words.next(), words.next()) else {
                continue;
            };
            let call = call.split('(').next().unwrap_or_default();
            *counts.entry((call.into(), thread.into())).or_default() += 1;
        }
        let mut uses = BTreeMap::new();
        for ((call, _), count) in counts {
            if CALLS.contains(&call.as_str()) {
                let most: &mut usize = uses.entry(call).or_default();
                *most = count.max(*most);
            }
        }
        uses
    }

    /// Tries `fault` at uses of every call. Returns how many runs failed, of all.
    fn sweep(&self, fault: &str) -> (usize, usize) {
        let (mut failed, mut runs) = (0, 0);
        for (call, uses) in self.uses() {
            for nth in sampled(uses) {
                let place = tempfile::tempdir_in("/dev/shm").unwrap();
                let store = place.path().join("store");
                let inject = format!("inject={call}:{fault}:when={nth}");
                let output = self.traced(
                    &store,
                    &[
                        "--output=/dev/null",
                        "-e",
                        &format!("trace={call}"),
                        "-e",
                        &inject,
                    ],
                );
                runs += 1;
                failed += usize::from(!output.status.success());
                // What is not on disk must not be reported as stored.
                let vital = call.ends_with("sync") || call == "syncfs" || call.contains("rename");
                assert!(!vital || !output.status.success(), "{inject}");
                if output.status.success() {
                    report(&format!("no harm: {inject}"));
                }
                self.check(&store, &output, &inject);
            }
        }
        (failed, runs)
    }

    /// What must hold after a run, however it ended.
    fn check(&self, store: &Path, output: &Output, what: &str) {
        let message = String::from_utf8_lossy(&output.stderr);
        let killed = output.status.signal().is_some();
        if output.status.success() {
            assert_eq!(message, "", "{what}");
        } else if !killed {
            assert_eq!(message.lines().count(), 1, "{what}: {message}");
            assert!(!message.contains("panicked"), "{what}: {message}");
        }
        age(&store.join("tmp"));
        let opened = ContentStore::open(store);
        let opened = opened.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let tmp = fs::read_dir(store.join("tmp")).unwrap();
        let left: Vec<_> = tmp.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
        let images = opened.images().unwrap();
        let known = self.scratch.store.images().unwrap();
        assert!(images.iter().all(|digest| known.contains(digest)), "{what}");
        if output.status.success() {
            assert_eq!(images, known, "{what}");
        }
        // An image that is listed is all there, and one that is not can be had.
        if !images.is_empty() {
            self.assert_same(&opened, what);
        }
        let reference = ImageReference::Path {
            path: self.file.clone(),
        };
        let again = opened.import(&reference, &Platform::host(), &NoProgress);
        again.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        self.assert_same(&opened, what);
    }

    fn assert_same(&self, store: &ContentStore, what: &str) {
        let found = timeless_store(store.root());
        let differing: Vec<_> = found
            .iter()
            .filter(|(path, line)| self.content.get(*path) != Some(*line))
            .collect();
        let missing: Vec<_> = self
            .content
            .keys()
            .filter(|path| !found.contains_key(*path))
            .collect();
        assert!(
            differing.is_empty() && missing.is_empty(),
            "{what}: {differing:#?}, and {missing:#?} missing"
        );
    }
}

fn timeless(scratch: &Scratch) -> Content {
    timeless_store(scratch.store.root())
}

/// What a store holds, without locks and without times of what the store makes
/// by itself: its own files, directories and the marks of whiteouts.
fn timeless_store(root: &Path) -> Content {
    let mut content = support::snapshot(root);
    content.retain(|path, _| !path.starts_with("locks"));
    for (path, line) in &mut content {
        let own = !path.starts_with("layers");
        if own || line.starts_with("dir") || line.starts_with("special") {
            line.truncate(line.find(" mtime").unwrap_or(line.len()));
        }
    }
    content
}

/// First, last and some between, or all.
fn sampled(uses: usize) -> Vec<usize> {
    if uses <= SAMPLES || std::env::var("LAMBENT_FAULTS").is_ok_and(|what| what == "all") {
        return (1..=uses).collect();
    }
    (0..SAMPLES)
        .map(|index| 1 + index * (uses - 1) / (SAMPLES - 1))
        .collect()
}

/// Makes files that a dead maker of a store has left older than any living one's.
fn age(tmp: &Path) {
    let Ok(entries) = fs::read_dir(tmp) else {
        return;
    };
    let long_ago = SystemTime::now() - Duration::from_secs(600);
    for entry in entries {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_file() {
            let times = FileTimes::new().set_modified(long_ago);
            File::open(path).unwrap().set_times(times).unwrap();
        }
    }
}

/// True if there is strace; otherwise says why a test does nothing.
fn has_strace(test: &str) -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("skipped {test}: it needs strace");
        }
    }
    found
}

#[test]
fn a_call_without_space() {
    refused("a_call_without_space", "ENOSPC");
}

#[test]
fn a_call_with_an_io_error() {
    refused("a_call_with_an_io_error", "EIO");
}

fn refused(test: &str, error: &str) {
    if !is_root(test) || !has_strace(test) {
        return;
    }
    let (failed, runs) = Expected::new(&good()).sweep(&format!("error={error}"));
    report(&format!("{error}: {failed} of {runs} imports failed"));
    // Otherwise this test tests nothing.
    assert!(runs > 50 && failed > runs / 2, "{failed} of {runs}");
}

#[test]
fn killed_in_any_call() {
    if !is_root("killed_in_any_call") || !has_strace("killed_in_any_call") {
        return;
    }
    let (failed, runs) = Expected::new(&good()).sweep("signal=KILL");
    report(&format!("KILL: {failed} of {runs} imports died"));
    assert!(runs > 50 && failed > runs / 2, "{failed} of {runs}");
}

#[test]
fn file_systems_without_room() {
    if !is_root("file_systems_without_room") || !in_private_mounts("file_systems_without_room") {
        return;
    }
    let expected = Expected::new(&large(0));
    let sizes = ["8k", "64k", "256k", "1m", "4m", "8m", "12m"].map(|size| format!("size={size}"));
    let inodes = [3, 10, 20, 30, 100, 400, 600].map(|inodes| format!("nr_inodes={inodes}"));
    let mut failed = 0;
    for limit in sizes.iter().chain(&inodes) {
        let place = tempfile::tempdir().unwrap();
        let mount = |options: &str| {
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", options, "none"])
                .arg(place.path())
                .status();
            assert!(mounted.unwrap().success(), "{options}");
        };
        mount(limit);
        let store = place.path().join("store");
        let output = Command::new(&*PROGRAM)
            .arg(&store)
            .arg(&expected.file)
            .output()
            .unwrap();
        failed += usize::from(!output.status.success());
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(message.contains("No space left"), "{limit}: {message}");
            assert_eq!(message.lines().count(), 1, "{limit}: {message}");
            // All that an import took comes back, at once. (What has a dot is of
            // the making of a store, some bytes, and goes later.)
            let tmp = fs::read_dir(store.join("tmp"));
            let left = tmp.map_or(0, |entries| {
                let names = entries.map(|entry| entry.unwrap().file_name());
                names
                    .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
                    .count()
            });
            assert_eq!(left, 0, "{limit}");
        }
        mount("remount,size=64m,nr_inodes=100000");
        expected.check(&store, &output, limit);
        rustix::mount::unmount(place.path(), rustix::mount::UnmountFlags::empty()).unwrap();
    }
    report(&format!("{failed} of 14 imports found no room"));
    assert!(failed >= 12, "{failed}");
}

#[expect(clippy::print_stdout, reason = "figures of a sweep")]
fn report(line: &str) {
    println!("{line}");
}
