//! Tests that an ordinary user runs too.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

/// Nobody, in nobody's group.
const ORDINARY: u32 = 65534;

/// True in a process without root's rights.
pub(crate) fn is_ordinary() -> bool {
    !rustix::process::geteuid().is_root()
}

/// As root, runs the test `test` in a process of an ordinary user first.
pub(crate) fn also_as_ordinary(test: &str) {
    also_as_ordinary_with(test, &[]);
}

/// The same, with paths that it is told in variables.
pub(crate) fn also_as_ordinary_with(test: &str, variables: &[(&str, &Path)]) {
    if is_ordinary() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (exe, scratch) = (place.path().join("exe"), place.path().join("scratch"));
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    std::fs::create_dir(&scratch).unwrap();
    chown(&scratch, Some(ORDINARY), Some(ORDINARY)).unwrap();
    for path in [place.path(), &exe] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let id = ORDINARY.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"])
        .arg(&exe)
        .args(["--exact", test, "--test-threads", "1"])
        .env("TMPDIR", &scratch)
        .envs(variables.iter().copied())
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "as an ordinary user: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Everything is removed, also what its owner may not read.
    let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
