//! An import that is made to fail, and what must hold afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use lambent_images::writer::ImageBuilder;
use lambent_images::{ContentStore, Form, ImageReference, NoProgress, Platform};

use super::support::{self, Scratch};

/// Calls that an import makes or may come to make. Those that it does not make
/// are left out by themselves.
pub(super) const CALLS: [&str; 38] = [
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
/// How the example is told in which form to keep layers.
pub(super) const FORM: &str = "LAMBENT_IMAGE_FORM";
pub(super) const FORMS: [Form; 2] = [Form::Directory, Form::Erofs];
/// Uses of a call that are tried unless all are.
pub(super) const SAMPLES: usize = 5;

/// The example, built from this checkout; with the workspace, as it is already, since
/// a package alone has other features of its dependencies.
pub(super) static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--example", "import"])
        .status();
    assert!(built.unwrap().success());
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("examples/import")
});

/// A small image, and a store that has it.
pub(super) struct Expected {
    scratch: Scratch,
    form: Form,
    pub(super) file: PathBuf,
    content: Content,
}

pub(super) type Content = BTreeMap<PathBuf, String>;

impl Expected {
    pub(super) fn new(image: &ImageBuilder, form: Form) -> Self {
        let scratch = Scratch::in_memory_of(form);
        let file = scratch.path("image.tar");
        image.write_oci_archive(&file, "latest").unwrap();
        scratch.import(&file).unwrap();
        let content = timeless(&scratch);
        Self {
            scratch,
            form,
            file,
            content,
        }
    }

    /// Runs the import of the image into `store` under strace.
    pub(super) fn traced(&self, store: &Path, options: &[&str]) -> Output {
        Command::new("strace")
            .args(["--follow-forks", "--quiet=all"])
            .args(options)
            .arg(&*PROGRAM)
            .arg(store)
            .arg(&self.file)
            .env(FORM, self.form.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// How often one thread makes each call at most.
    pub(super) fn uses(&self) -> BTreeMap<String, usize> {
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

    /// Tries `fault` at uses of these calls. Returns how many runs failed, of all.
    pub(super) fn sweep(&self, fault: &str, calls: impl Fn(&str) -> bool) -> (usize, usize) {
        let (mut failed, mut runs) = (0, 0);
        for (call, uses) in self.uses() {
            if !calls(&call) {
                continue;
            }
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
    pub(super) fn check(&self, store: &Path, output: &Output, what: &str) {
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
        let opened = opened.with_form(self.form);
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

pub(super) fn timeless(scratch: &Scratch) -> Content {
    timeless_store(scratch.store.root())
}

/// What a store holds, without locks and without times of what the store makes
/// by itself: its own files, directories and the marks of whiteouts.
pub(super) fn timeless_store(root: &Path) -> Content {
    let mut content = support::snapshot(root);
    // The index says when images came, which differs.
    content.retain(|path, _| !path.starts_with("locks") && path != Path::new("index.json"));
    for (path, line) in &mut content {
        let own = !path.starts_with("layers");
        if own || line.starts_with("dir") || line.starts_with("special") {
            line.truncate(line.find(" mtime").unwrap_or(line.len()));
        }
    }
    content
}

/// First, last and some between, or all.
pub(super) fn sampled(uses: usize) -> Vec<usize> {
    if uses <= SAMPLES || std::env::var("LAMBENT_FAULTS").is_ok_and(|what| what == "all") {
        return (1..=uses).collect();
    }
    (0..SAMPLES)
        .map(|index| 1 + index * (uses - 1) / (SAMPLES - 1))
        .collect()
}

/// Makes files that a dead maker of a store has left older than any living one's.
pub(super) fn age(tmp: &Path) {
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
pub(super) fn has_strace(test: &str) -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("skipped {test}: it needs strace");
        }
    }
    found
}

#[expect(clippy::print_stdout, reason = "figures of a sweep")]
pub(super) fn report(line: &str) {
    println!("{line}");
}
