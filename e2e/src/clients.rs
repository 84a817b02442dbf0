//! Programs of `e2e/clients`, each in a workspace of its own, because it takes long to
//! build and only full tests need it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::fixtures::{target_directory, workspace};

/// Builds a program unless it is built: the `directory` below `e2e/clients`, whose
/// package is called as that and `-client`.
///
/// # Panics
/// If it cannot be built.
pub fn built(directory: &str) -> PathBuf {
    let target = target_directory().join("clients");
    let manifest = workspace().join(format!("e2e/clients/{directory}/Cargo.toml"));
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the client cannot be built: {built}");
    target.join(format!("debug/{directory}-client"))
}
