//! Runtimes that run a bundle.

use std::path::Path;
use std::process::{Command, Stdio};

use super::super::clock::now_ns;
use super::is_installed;
use crate::fixtures::Error;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct OciRuntime {
    pub(in super::super) program: &'static str,
    pub(in super::super) name: &'static str,
    options: &'static [&'static str],
    /// Leave the program alone, and remove the container afterwards.
    detached: bool,
}

/// crun has no control groups, for it refuses hosts that mount both versions of them
/// (some of its versions do so even then). youki does not always notice the end of its
/// program, and is not asked to wait for it.
pub(in super::super) const ALL: [OciRuntime; 3] = [
    OciRuntime {
        program: "runc",
        name: "runc run",
        options: &[],
        detached: false,
    },
    OciRuntime {
        program: "crun",
        name: "crun run (without cgroups)",
        options: &["--cgroup-manager=disabled"],
        detached: false,
    },
    OciRuntime {
        program: "youki",
        name: "youki run --detach",
        options: &[],
        detached: true,
    },
];

/// One `run` of a program that prints when it was started: moments on the monotonic
/// clock, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Run {
    pub(in super::super) asked: i64,
    pub(in super::super) first_instruction: i64,
    pub(in super::super) ended: i64,
}

impl OciRuntime {
    pub(in super::super) fn is_there(self) -> bool {
        is_installed(self.program)
    }

    /// Runs a bundle to its end, under this name.
    ///
    /// # Errors
    /// It fails, with what it says.
    pub(in super::super) fn run(self, bundle: &Path, state: &Path, id: &str) -> Result<Run, Error> {
        let mut command = self.command(state);
        command.arg("run").args(self.detached.then_some("--detach"));
        command.arg("--bundle").arg(bundle).arg(id);
        let run = timed(&mut command)?;
        if self.detached {
            crate::fixtures::command::run(self.command(state).args(["delete", "--force", id]))?;
        }
        Ok(run)
    }

    /// The program with what it always needs.
    fn command(self, state: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--root").arg(state).args(self.options);
        command.stdin(Stdio::null());
        command
    }
}

/// Runs a command that prints when its program was started.
///
/// # Errors
/// It fails, with what it says.
pub(in super::super) fn timed(command: &mut Command) -> Result<Run, Error> {
    let asked = now_ns();
    let output = command.output()?;
    let ended = now_ns();
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().parse() {
        Ok(first_instruction) if output.status.success() => Ok(Run {
            asked,
            first_instruction,
            ended,
        }),
        _ => {
            let program = command.get_program().display();
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}: {}", output.status, said.trim()).into())
        }
    }
}
