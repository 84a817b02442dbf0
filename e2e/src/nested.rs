//! Lambent's own image, made from the repository's Dockerfile, and containers of it.
//!
//! Podman and its storage are this module's own and are gone afterwards: nothing is
//! pulled, and the machine's storage is left alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fixtures::command::{run, text};
use crate::fixtures::{self, Error, Fixture};
use crate::{Run, program};

/// What the image is called in its storage.
const NAME: &str = "localhost/lambent";

/// Where the containers see the images of functions.
const IMAGES: &str = "/fixtures";

/// A storage with the image in it.
#[derive(Debug)]
pub struct Nested {
    storage: TempDir,
}

impl Nested {
    /// Whether there is a Podman to make containers with.
    pub fn is_possible() -> bool {
        let version = Command::new("podman")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    }

    /// Builds the image on a base of the fixtures, without a network.
    ///
    /// # Errors
    /// Podman's, with what it said.
    pub fn build() -> Result<Self, Error> {
        let storage = tempfile::Builder::new()
            .prefix("lambent-podman-")
            .tempdir()?;
        let nested = Self { storage };
        let place = nested.storage.path();
        let context = place.join("context");
        fs::create_dir(&context)?;
        fs::copy(program(), context.join("lambent"))?;
        let base = place.join("base.tar");
        run(Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(&base)
            .arg("--directory")
            .arg(fixtures::base_tree())
            .arg("."))?;
        text(
            nested
                .podman(&["import", "--quiet"])
                .arg(&base)
                .arg("localhost/base"),
        )?;
        run(nested
            .podman(&["build", "--quiet", "--pull=never", "--isolation=chroot"])
            .args(["--build-arg", "BASE=localhost/base"])
            .args(["--build-arg", "PACKAGES=", "--build-arg", "PROGRAM=lambent"])
            .args(["--tag", NAME, "--file"])
            .arg(fixtures::workspace().join("Dockerfile"))
            .arg(&context))?;
        Ok(nested)
    }

    /// Runs `lambent` in a container that is started with these options.
    ///
    /// # Panics
    /// If Podman cannot be started.
    pub fn run(&self, options: &[&str], arguments: &[&str]) -> Run {
        self.container(options)
            .args(arguments)
            .output()
            .expect("podman runs")
            .into()
    }

    /// Runs lines of a shell in a container that is started with these options.
    ///
    /// # Panics
    /// If Podman cannot be started.
    pub fn shell(&self, options: &[&str], lines: &str) -> Run {
        let options = [options, &["--entrypoint", "/bin/sh"]].concat();
        self.run(&options, &["-e", "-c", lines])
    }

    /// How a container is told about an image.
    pub fn reference(fixture: Fixture) -> String {
        fixture.reference_in(Path::new(IMAGES))
    }

    fn container(&self, options: &[&str]) -> Command {
        let mut command = self.podman(&["run"]);
        let images = fixtures::directory();
        command.args(["--rm", "--network=none", "--pull=never"]);
        if Path::new("/sys/fs/cgroup/unified").is_dir() {
            // crun, the default, does not take such hosts.
            command.arg("--runtime=runc");
        }
        command
            // Of this process, which may not raise them.
            .args([
                "--ulimit",
                "nofile=1024:1024",
                "--ulimit",
                "nproc=4096:4096",
            ])
            .args(["--volume", &format!("{}:{IMAGES}:ro", images.display())])
            .args(options)
            .arg(NAME);
        command
    }

    fn podman(&self, arguments: &[&str]) -> Command {
        let place = self.storage.path();
        let mut command = Command::new("podman");
        command
            .stdin(Stdio::null())
            .arg("--root")
            .arg(place.join("root"))
            .arg("--runroot")
            .arg(place.join("run"))
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(arguments);
        command
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        // What of a container may still be mounted.
        let _ = self
            .podman(&["rm", "--all", "--force", "--volumes"])
            .output();
    }
}
