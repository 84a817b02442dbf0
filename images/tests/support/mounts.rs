//! Tests that mount, in a process with mounts of its own, or also with a network of
//! its own.

use std::process::Command;

use super::is_root;

/// Set in the process that may mount.
const PRIVATE: &str = "LAMBENT_TEST_PRIVATE_MOUNTS";

/// Runs a test again in a private mount namespace; true in there.
pub(crate) fn in_private_mounts(test: &str) -> bool {
    in_private(test, &["--mount", "--propagation", "private"])
}

/// The same, with a network in which there is nothing, not even 127.0.0.1.
pub(crate) fn in_private_network(test: &str) -> bool {
    in_private(test, &["--net", "--mount", "--propagation", "private"])
}

fn in_private(test: &str, options: &[&str]) -> bool {
    if !is_root(test) {
        return false;
    }
    if std::env::var_os(PRIVATE).is_some() {
        return true;
    }
    let exe = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(options)
        .arg(exe)
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(PRIVATE, "1")
        .status()
        .unwrap();
    assert!(status.success());
    false
}
