//! Imports on a machine that fails: every kind of system call refused or fatal
//! at its N-th use, and file systems without room.
//!
//! `LAMBENT_FAULTS=all` takes every N; otherwise a few of each call, spread over
//! its uses.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

#[path = "../support/mod.rs"]
mod support;
mod sweep;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use lambent_images::Form;
use support::mounts::in_private_mounts;
use support::{good, is_root, large};
use sweep::{Expected, FORM, FORMS, PROGRAM, has_strace, report, sampled};

#[test]
fn a_call_without_space() {
    refused("a_call_without_space", "ENOSPC");
}

#[test]
fn a_call_with_an_io_error() {
    refused("a_call_with_an_io_error", "EIO");
}

/// I-C13: a quota that is used up, where files and directories are made or grow.
#[test]
fn a_call_beyond_a_quota() {
    let test = "a_call_beyond_a_quota";
    if !is_root(test) || !has_strace(test) {
        return;
    }
    let grows = |call: &str| {
        [
            "write", "mkdir", "mknod", "symlink", "link", "rename", "open",
        ]
        .iter()
        .any(|prefix| call.starts_with(prefix))
    };
    for form in FORMS {
        let expected = Expected::new(&good(), form);
        let (failed, runs) = expected.sweep("error=EDQUOT", grows);
        report(&format!(
            "{form}, EDQUOT: {failed} of {runs} imports failed"
        ));
        assert!(runs > 15 && failed > runs / 2, "{failed} of {runs}");
    }
}

/// I-C13: `RLIMIT_FSIZE`, with the signal that it sends and without.
#[test]
fn a_limit_on_the_size_of_files() {
    if !is_root("a_limit_on_the_size_of_files") {
        return;
    }
    for form in FORMS {
        let expected = Expected::new(&large(0), form);
        let (mut refused, mut killed) = (0, 0);
        for (kib, ignored) in [(1, true), (100, true), (1024, true), (1024, false)] {
            let place = tempfile::tempdir_in("/dev/shm").unwrap();
            let store = place.path().join("store");
            // An ignored signal stays ignored in a new program.
            let trap = if ignored { "trap '' XFSZ; " } else { "" };
            let output = Command::new("bash")
                .args(["-c", &format!("{trap}ulimit -f {kib}; exec \"$@\"")])
                .arg("bash")
                .arg(&*PROGRAM)
                .arg(&store)
                .arg(&expected.file)
                .env(FORM, form.to_string())
                .output()
                .unwrap();
            let message = String::from_utf8_lossy(&output.stderr);
            let what = format!("{form}, {kib} KiB: {message}");
            assert!(!output.status.success(), "{what}");
            if ignored {
                assert!(message.contains("File too large"), "{what}");
                refused += 1;
            } else {
                let signal = rustix::process::Signal::XFSZ.as_raw();
                assert_eq!(output.status.signal(), Some(signal), "{what}");
                killed += 1;
            }
            expected.check(&store, &output, &what);
        }
        assert_eq!((refused, killed), (3, 1), "{form}");
    }
}

/// What a signal interrupts has not failed.
#[test]
fn interrupted_calls_go_on() {
    let test = "interrupted_calls_go_on";
    if !is_root(test) || !has_strace(test) {
        return;
    }
    for form in FORMS {
        interrupted(&Expected::new(&good(), form));
    }
}

fn interrupted(expected: &Expected) {
    for (call, uses) in expected.uses() {
        if !["read", "write"].contains(&call.as_str()) {
            continue;
        }
        for nth in sampled(uses) {
            let place = tempfile::tempdir_in("/dev/shm").unwrap();
            let store = place.path().join("store");
            let inject = format!("inject={call}:error=EINTR:when={nth}");
            let trace = format!("trace={call}");
            let output =
                expected.traced(&store, &["--output=/dev/null", "-e", &trace, "-e", &inject]);
            // The loader of programs does give up.
            let loading = output.status.code() == Some(127);
            assert!(output.status.success() || loading, "{inject}: {output:?}");
            expected.check(&store, &output, &inject);
        }
    }
}

fn refused(test: &str, error: &str) {
    if !is_root(test) || !has_strace(test) {
        return;
    }
    for form in FORMS {
        let (failed, runs) =
            Expected::new(&good(), form).sweep(&format!("error={error}"), |_| true);
        report(&format!(
            "{form}, {error}: {failed} of {runs} imports failed"
        ));
        // Otherwise this test tests nothing.
        assert!(runs > 50 && failed > runs / 2, "{failed} of {runs}");
    }
}

#[test]
fn killed_in_any_call() {
    if !is_root("killed_in_any_call") || !has_strace("killed_in_any_call") {
        return;
    }
    for form in FORMS {
        let (failed, runs) = Expected::new(&good(), form).sweep("signal=KILL", |_| true);
        report(&format!("{form}, KILL: {failed} of {runs} imports died"));
        assert!(runs > 50 && failed > runs / 2, "{failed} of {runs}");
    }
}

#[test]
fn file_systems_without_room() {
    if !is_root("file_systems_without_room") || !in_private_mounts("file_systems_without_room") {
        return;
    }
    for form in FORMS {
        without_room(&Expected::new(&large(0), form), form);
    }
}

fn without_room(expected: &Expected, form: Form) {
    let sizes = ["8k", "64k", "256k", "1m", "4m", "8m", "12m"].map(|size| format!("size={size}"));
    // Streams are few files.
    let inodes = match form {
        Form::Directory => &[3, 10, 20, 30, 100, 400, 600][..],
        Form::Erofs => &[3, 10, 20, 30],
    };
    let inodes: Vec<_> = inodes
        .iter()
        .map(|inodes| format!("nr_inodes={inodes}"))
        .collect();
    let runs = sizes.len() + inodes.len();
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
            .env(FORM, form.to_string())
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
    report(&format!("{form}: {failed} of {runs} imports found no room"));
    assert!(failed + 2 >= runs, "{failed} of {runs}");
}
