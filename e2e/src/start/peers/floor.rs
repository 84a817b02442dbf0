//! The hand-written floor: see `e2e/stopwatch`.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;

use super::super::clock::now_ns;
use super::super::host::QUIET;
use super::oci::Run;
use crate::fixtures::Error;

/// Starts the program of a tree after a moment of quiet.
///
/// # Errors
/// It fails.
pub(in super::super) fn run(stopwatch: &Path, root: &Path) -> Result<Run, Error> {
    let mut child = Command::new(stopwatch)
        .arg("floor")
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no pipe")?;
    let mut output = child.stdout.take().ok_or("no pipe")?;
    sleep(QUIET);
    let asked = now_ns();
    input.write_all(b"1")?;
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    let status = child.wait()?;
    let ended = now_ns();
    match text.trim().parse() {
        Ok(first_instruction) if status.success() => Ok(Run {
            asked,
            first_instruction,
            ended,
        }),
        _ => Err(format!("the floor: {status}, {text:?}").into()),
    }
}
