//! podman, in a storage of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::is_installed;
use super::oci::{self, Run};
use crate::fixtures::command::{output, run};
use crate::fixtures::{Error, at};

const IMAGE: &str = "localhost/stopwatch:latest";
const PROGRAM: &str = "/var/task/bootstrap";
/// Within what any host allows.
const LIMITS: [&str; 2] = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];

/// Its storage, with the image in it.
#[derive(Debug)]
pub(in super::super) struct Podman {
    directory: PathBuf,
}

/// A container that goes on, and the process that watches it.
#[derive(Debug)]
pub(in super::super) struct Container {
    id: String,
    pub(in super::super) monitor: u32,
    pub(in super::super) program: u32,
}

impl Podman {
    pub(in super::super) fn is_there() -> bool {
        ["podman", "conmon", "runc"].into_iter().all(is_installed)
    }

    /// Loads a Docker archive into the storage below `parent`.
    ///
    /// # Errors
    /// It does not work on this machine.
    pub(in super::super) fn load(parent: &Path, archive: &Path) -> Result<Self, Error> {
        let directory = parent.join("podman");
        // Two parts have the same one.
        fs::create_dir_all(&directory).map_err(at(&directory))?;
        let podman = Self { directory };
        run(podman.command(&["load", "--quiet", "--input"]).arg(archive))?;
        Ok(podman)
    }

    /// `podman run` of the program, to its end.
    ///
    /// # Errors
    /// It fails, with what it says.
    pub(in super::super) fn run(&self) -> Result<Run, Error> {
        let mut command = self.command(&["run", "--rm", "--network=none"]);
        oci::timed(command.args(LIMITS).arg(IMAGE))
    }

    /// Starts a container that goes on.
    ///
    /// # Errors
    /// It fails, with what it says.
    pub(in super::super) fn start(&self) -> Result<Container, Error> {
        let mut command = self.command(&["run", "--detach", "--network=none"]);
        command.args(LIMITS);
        let id = output(command.args(["--entrypoint", PROGRAM, IMAGE, "wait"]))?;
        let format = "{{.State.ConmonPid}} {{.State.Pid}}";
        let pids = output(&mut self.command(&["inspect", "--format", format, &id]))?;
        let (monitor, program) = pids.split_once(' ').ok_or("no pids of a container")?;
        Ok(Container {
            id,
            monitor: monitor.parse()?,
            program: program.parse()?,
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It fails, with what it says.
    pub(in super::super) fn end(&self, container: &Container) -> Result<(), Error> {
        run(&mut self.command(&["rm", "--force", "--time=0", &container.id]))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(self.directory.join("root"))
            .arg("--runroot")
            .arg(self.directory.join("run"))
            .args(["--runtime=runc", "--cgroup-manager=cgroupfs"])
            .args(words)
            .stdin(Stdio::null());
        command
    }
}
