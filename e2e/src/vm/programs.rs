//! The tests as cargo builds them, and what nextest has to know to run them
//! without cargo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

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

/// How nextest calls the end-to-end tests, before the name of each binary.
const END_TO_END: &str = "lambent-e2e::";

/// Builds the end-to-end tests.
///
/// With the whole workspace, as `make test` does: features of dependencies are those of
/// what is built together, and every dependency would be built once more.
pub(super) fn build() -> Result<Programs, Error> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(workspace()).args(arguments);
        command
    };
    let list = text(&mut cargo(&[
        "nextest",
        "list",
        "--locked",
        "--workspace",
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
    let (binaries, tests, target) = end_to_end(&list)?;
    Ok(Programs {
        binaries,
        metadata,
        tests,
        target,
    })
}

/// Of nextest's list that with the end-to-end tests alone, these, relative to the
/// target directory, and that directory.
fn end_to_end(list: &str) -> Result<(String, Vec<PathBuf>, PathBuf), Error> {
    let mut list: Value = serde_json::from_str(list)?;
    let target = &list["rust-build-meta"]["target-directory"];
    let target = PathBuf::from(target.as_str().ok_or("nextest names no target directory")?);
    let binaries = list["rust-binaries"]
        .as_object_mut()
        .ok_or("nextest lists no binaries")?;
    binaries.retain(|id, binary| id.starts_with(END_TO_END) && binary["kind"] == "test");
    let tests = binaries
        .values()
        .map(|binary| {
            let path = binary["binary-path"].as_str().unwrap_or_default();
            Ok(Path::new(path).strip_prefix(&target)?.to_owned())
        })
        .collect::<Result<_, Error>>()?;
    Ok((list.to_string(), tests, target))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_to_end_tests_are_taken_along() {
        let binary = |id: &str, kind: &str| {
            format!(r#""{id}": {{"kind": "{kind}", "binary-path": "/t/debug/deps/{kind}-1"}}"#)
        };
        let all = [
            binary("lambent", "lib"),
            binary("lambent-e2e", "lib"),
            binary("lambent-e2e::bin/fixtures", "bin"),
            binary("lambent-e2e::limits", "test"),
            binary("lambent-images::store", "test"),
        ];
        let list = format!(
            r#"{{"rust-build-meta": {{"target-directory": "/t"}}, "rust-binaries": {{{}}}}}"#,
            all.join(", ")
        );
        let (kept, tests, target) = end_to_end(&list).unwrap();
        assert!(
            kept.contains("::limits") && !kept.contains("::store"),
            "{kept}"
        );
        assert!(!kept.contains("fixtures"), "{kept}");
        assert_eq!(tests, [Path::new("debug/deps/test-1")]);
        assert_eq!(target, Path::new("/t"));
    }
}
