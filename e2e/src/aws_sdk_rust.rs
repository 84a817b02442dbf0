//! AWS's own client for Rust: a program that uses it (`e2e/clients/aws-sdk-rust`), in a
//! workspace of its own, because it takes minutes to build.

use std::env;
use std::process::Command;

use crate::Run;
use crate::fixtures::{target_directory, workspace};

/// Builds the program, unless it is built, and runs it on an endpoint and an image.
///
/// # Panics
/// If it cannot be built or started.
pub fn run(url: &str, image: &str) -> Run {
    let target = target_directory().join("clients");
    let manifest = workspace().join("e2e/clients/aws-sdk-rust/Cargo.toml");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the client cannot be built: {built}");
    Command::new(target.join("debug/aws-sdk-rust-client"))
        .args([url, image])
        .output()
        .expect("the client runs")
        .into()
}
