//! The tests as cargo builds them, and what nextest has to know to run them
//! without cargo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::fixtures::command::{run, text};
use crate::fixtures::{Error, at, target_directory, workspace};

/// The compiled tests.
#[derive(Debug)]
pub(super) struct Programs {
    /// nextest's list of the tests' executables, as JSON.
    pub(super) binaries: String,
    /// cargo's description of the workspace, as JSON.
    pub(super) metadata: String,
    /// The tests' executables, relative to the target directory.
    pub(super) tests: Vec<PathBuf>,
    /// The target directory.
    pub(super) target: PathBuf,
}

/// What is read of nextest's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Binaries {
    rust_binaries: std::collections::BTreeMap<String, Binary>,
    rust_build_meta: BuildMeta,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Binary {
    binary_path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BuildMeta {
    target_directory: PathBuf,
}

/// Builds the end-to-end tests.
pub(super) fn build() -> Result<Programs, Error> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(workspace()).args(arguments);
        command
    };
    let binaries = text(&mut cargo(&[
        "nextest",
        "list",
        "--locked",
        "--package",
        "lambent-e2e",
        "--test",
        "*",
        "--list-type",
        "binaries-only",
        "--message-format",
        "json",
    ]))?;
    let metadata = text(&mut cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
    ]))?;
    let list: Binaries = serde_json::from_str(&binaries)?;
    let target = list.rust_build_meta.target_directory;
    let tests = list
        .rust_binaries
        .into_values()
        .map(|binary| Ok(binary.binary_path.strip_prefix(&target)?.to_owned()))
        .collect::<Result<_, Error>>()?;
    Ok(Programs {
        binaries,
        metadata,
        tests,
        target,
    })
}

/// The program under test: as [`crate::program`], or as `make` has built it.
pub(super) fn lambent() -> Result<PathBuf, Error> {
    let path = env::var_os("LAMBENT_BIN")
        .map_or_else(|| target_directory().join("debug/lambent"), PathBuf::from);
    fs::canonicalize(&path).map_err(at(&path))
}

/// The `cargo-nextest` that cargo would run.
pub(super) fn nextest() -> Result<PathBuf, Error> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join("cargo-nextest"))
        .find(|path| path.is_file())
        .ok_or_else(|| "there is no cargo-nextest in PATH: run `make deps`".into())
}

/// Copies a program without what only a debugger needs, which is most of it.
pub(super) fn copy_stripped(from: &Path, to: &Path) -> Result<(), Error> {
    run(Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .arg(to)
        .arg(from))
}
