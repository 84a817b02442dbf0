//! The programs that are compared, each in a store of its own that nothing else
//! uses; what the machine's own podman and containerd keep is never touched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use lambent_images::Form;
use rustix::process::{Pid, Signal, kill_process};

use super::workloads::Files;
use crate::fixtures::cache::remove;
use crate::fixtures::command::output;
use crate::fixtures::{Error, at};
use crate::wait;

/// One way to import an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// This checkout, with layers kept in this form.
    Lambent(Form),
    Umoci,
    Podman,
    Ctr,
}

/// What one import took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Most memory at any time, in bytes, as far as it is known.
    pub(super) peak: Option<u64>,
}

impl Tool {
    pub(super) const PEERS: [Self; 3] = [Self::Umoci, Self::Podman, Self::Ctr];

    pub(super) fn name(self) -> String {
        match self {
            Self::Lambent(form) => format!("lambent ({form})"),
            Self::Umoci => "umoci unpack".to_owned(),
            Self::Podman => "podman load".to_owned(),
            Self::Ctr => "ctr images import".to_owned(),
        }
    }

    pub(super) fn is_lambent(self) -> bool {
        matches!(self, Self::Lambent(_))
    }

    /// True if it can find out that it has an image, or a part of it, already.
    pub(super) fn has_store(self) -> bool {
        self != Self::Umoci
    }

    /// True if this machine has it.
    pub(super) fn is_there(self) -> bool {
        let programs: &[&str] = match self {
            Self::Lambent(_) => &[],
            Self::Umoci => &["umoci"],
            Self::Podman => &["podman", "unshare"],
            Self::Ctr => &["ctr", "containerd", "unshare"],
        };
        let paths = env::var_os("PATH").unwrap_or_default();
        programs
            .iter()
            .all(|program| env::split_paths(&paths).any(|path| path.join(program).is_file()))
    }
}

/// A tool with its own empty store.
#[derive(Debug)]
pub(super) struct Scene {
    tool: Tool,
    directory: PathBuf,
    daemon: Option<Daemon>,
    imports: u32,
}

impl Scene {
    /// Makes the store in `directory`, in the place of an earlier one.
    pub(super) fn new(tool: Tool, directory: &Path) -> Result<Self, Error> {
        remove(directory)?;
        fs::create_dir_all(directory).map_err(at(directory))?;
        let daemon = (tool == Tool::Ctr)
            .then(|| Daemon::start(directory))
            .transpose()?;
        Ok(Self {
            tool,
            directory: directory.to_owned(),
            daemon,
            imports: 0,
        })
    }

    /// Imports an image and measures that.
    pub(super) fn import(&mut self, image: &Files) -> Result<Run, Error> {
        self.imports += 1;
        let mut command = self.command(image)?;
        // What earlier runs have written is not this one's to wait for.
        rustix::fs::sync();
        let started = Instant::now();
        let line = output(&mut command)?;
        let seconds = started.elapsed().as_secs_f64();
        self.check()?;
        let peak = match self.tool {
            Tool::Lambent(_) => Some(line.parse()?),
            _ => None,
        };
        Ok(Run { seconds, peak })
    }

    /// Removes everything.
    pub(super) fn close(self) -> Result<(), Error> {
        drop(self.daemon);
        remove(&self.directory)
    }

    fn command(&self, image: &Files) -> Result<Command, Error> {
        let path = |name: &str| self.directory.join(name);
        let layout = image.layout.display();
        match self.tool {
            Tool::Lambent(form) => {
                let mut command = Command::new(env::current_exe()?);
                command
                    .arg(super::IMPORT)
                    .arg(path("store"))
                    .arg(format!("oci:{layout}"))
                    .arg(form.to_string());
                Ok(command)
            }
            Tool::Umoci => {
                let mut command = Command::new("umoci");
                command
                    .arg("unpack")
                    .arg(format!("--image={layout}:latest"))
                    .arg(path(&format!("bundle{}", self.imports)));
                Ok(command)
            }
            Tool::Podman => {
                // It keeps notes on blobs and locks in one place whatever its root is.
                let mut command = unshared();
                command
                    .args(["sh", "-ec"])
                    .arg(concat!(
                        "mkdir -p /var/lib/containers; ",
                        "mount -t tmpfs none /var/lib/containers; ",
                        "mount -t tmpfs none /dev/shm; exec podman \"$@\""
                    ))
                    .arg("podman")
                    .arg("--root")
                    .arg(path("root"))
                    .arg("--runroot")
                    .arg(path("run"))
                    .arg("--tmpdir")
                    .arg(path("tmp"))
                    .args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs"])
                    .args(["--events-backend=none", "load", "--quiet", "--input"])
                    .arg(&image.archive)
                    .env("TMPDIR", &self.directory);
                Ok(command)
            }
            Tool::Ctr => {
                let mut command = ctr(&self.directory);
                command
                    .args(["images", "import", "--snapshotter=overlayfs"])
                    .arg("--base-name=localhost/bench/image")
                    .arg(&image.archive);
                Ok(command)
            }
        }
    }

    /// A fair comparison unpacks: see that it did.
    fn check(&self) -> Result<(), Error> {
        if self.tool == Tool::Ctr {
            let list = ["snapshots", "--snapshotter=overlayfs", "list"];
            let stdout = ctr(&self.directory).args(list).output()?.stdout;
            if String::from_utf8_lossy(&stdout).lines().count() < 2 {
                return Err("ctr has imported the image without unpacking it".into());
            }
        }
        Ok(())
    }
}

/// Runs what follows with mounts of its own, which end with it.
fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "--"]);
    command
}

fn ctr(directory: &Path) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket(directory));
    command
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("socket")
}

/// A containerd of our own.
#[derive(Debug)]
struct Daemon(Child);

impl Daemon {
    fn start(directory: &Path) -> Result<Self, Error> {
        // What this one does not need, or would look for outside of its root.
        let config = "version = 2\ndisabled_plugins = [\
            \"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", \
            \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
            \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.devmapper\"]\n\
            # Of an image that is replaced it would collect what the next one is about to use.\n\
            [plugins.\"io.containerd.gc.v1.scheduler\"]\n\
            startup_delay = \"1h\"\nschedule_delay = \"1h\"\n";
        let path = directory.join("config.toml");
        fs::write(&path, config).map_err(at(&path))?;
        let log = directory.join("log");
        let log = fs::File::create(&log).map_err(at(&log))?;
        let child = unshared()
            // It must not outlive a bench that was interrupted.
            .args(["setpriv", "--pdeathsig=TERM", "containerd"])
            .arg("--config")
            .arg(&path)
            .arg("--root")
            .arg(directory.join("root"))
            .arg("--state")
            .arg(directory.join("state"))
            .arg("--address")
            .arg(socket(directory))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let daemon = Self(child);
        wait::until("containerd answers", || {
            ctr(directory)
                .arg("version")
                .output()
                .is_ok_and(|output| output.status.success())
        });
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _gone_already = kill_process(pid, Signal::TERM);
        }
        let _status = self.0.wait();
    }
}
