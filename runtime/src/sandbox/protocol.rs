//! What the service and the launcher say to each other.
//!
//! One message per datagram, as JSON, descriptors beside it. Both ends are the
//! same build (the launcher runs the service's own binary, sealed), so
//! the messages need no versions.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use lambent_images::{Attachment, RootMount};
use serde::{Deserialize, Serialize};

use super::user_namespace::UserNamespace;
use crate::model::{ExitStatus, ExtensionLaunch};

/// Names an execution environment towards the launcher. Part of cgroup paths,
/// so it is a number and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct EnvironmentId(pub(crate) u64);

impl fmt::Display for EnvironmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// What the launcher needs to know once, as its first message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Names this service in cgroup paths: `/lambent/<service>/<environment>`.
    pub(crate) service: String,
    /// An empty directory, private to Lambent, over which each worker mounts
    /// its own file systems in its own mount namespace.
    pub(crate) mount_point: PathBuf,
    /// Where files that back ephemeral storage are created.
    pub(crate) storage_directory: PathBuf,
    /// The user namespace of the service, if it is in one.
    pub(crate) namespace: Option<UserNamespace>,
}

/// Service to launcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Make everything ready for the start of an environment that may follow, with the
    /// same descriptors. Nothing comes back: what has failed is done again then.
    Prepare(Box<StartRequest>),
    /// Start the extensions of an image, or if it has none its runtime, or a shell;
    /// with the descriptors of [`Streams`].
    Start(Box<StartRequest>),
    /// A command for the container's init.
    Command {
        environment: EnvironmentId,
        command: InitCommand,
    },
    /// Kill all processes; `/tmp` and cgroups stay.
    Kill { environment: EnvironmentId },
    /// Kill all processes if there are any and remove everything.
    Remove { environment: EnvironmentId },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartRequest {
    pub(crate) environment: EnvironmentId,
    pub(crate) spec: SandboxSpec,
}

/// Everything that defines a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxSpec {
    /// The root file system.
    pub(crate) root: RootMount,
    /// What is mounted over directories of it.
    pub(crate) attachments: Vec<Attachment>,
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    /// `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    /// Working directory inside the root.
    pub(crate) working_directory: PathBuf,
    /// Memory limit in bytes.
    pub(crate) memory_bytes: u64,
    /// CPU time per 20 ms period during INIT, in microseconds.
    pub(crate) init_cpu_quota_us: u64,
    /// How many CPUs the function sees.
    pub(crate) visible_cpus: u8,
    /// By how many nanoseconds its time slices exceed the usual ones.
    pub(crate) slice_excess_ns: u64,
    /// Size of `/tmp` in bytes.
    pub(crate) tmp_bytes: u64,
    /// A program of this machine's that is at [`HOST_SHELL`], read-only: for a person,
    /// never for a function.
    pub(crate) host_shell: Option<PathBuf>,
}

/// Where a shell of this machine's is, beside devices that no function looks for. Its
/// name is what tells busybox what to be.
pub(crate) const HOST_SHELL: &str = "/dev/lambent/sh";

/// Launcher to a worker that has made everything ready: start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Go;

/// Where what is started reads and writes.
#[derive(Debug)]
pub(crate) enum Streams {
    /// The writing ends of the runtime's log, and of its extensions'.
    Function {
        log: OwnedFd,
        extension_log: OwnedFd,
    },
    /// A shell in the place of both, with what a person types at. If that is a
    /// terminal it becomes the shell's own.
    Shell {
        input: OwnedFd,
        output: OwnedFd,
        error: OwnedFd,
    },
}

impl Streams {
    /// As they travel beside a message.
    pub(crate) fn into_descriptors(self) -> Vec<OwnedFd> {
        match self {
            Self::Function { log, extension_log } => vec![log, extension_log],
            Self::Shell {
                input,
                output,
                error,
            } => vec![input, output, error],
        }
    }

    /// All of them.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Function { log, extension_log } => vec![log.as_fd(), extension_log.as_fd()],
            Self::Shell {
                input,
                output,
                error,
            } => vec![input.as_fd(), output.as_fd(), error.as_fd()],
        }
    }

    /// From what came beside a message; none if that is something else.
    pub(crate) fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next();
        let streams = match (next(), next(), next()) {
            (Some(log), Some(extension_log), None) => Self::Function { log, extension_log },
            (Some(input), Some(output), Some(error)) => Self::Shell {
                input,
                output,
                error,
            },
            _ => return None,
        };
        next().is_none().then_some(streams)
    }
}

/// Launcher to a container's init, on behalf of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InitCommand {
    /// Start the runtime: all extensions have registered.
    StartRuntime,
    /// Signal a process and its process group.
    Signal(Process, StopSignal),
}

/// A process of the sandbox that init has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Process {
    Runtime,
    /// By its place among the names that init has told.
    Extension(usize),
}

/// The signals that end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StopSignal {
    Terminate,
    Kill,
}

/// A container's init to the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InitReport {
    /// The runtime's entry point runs. The pids of everything that init has started
    /// and that runs, in the container's own namespace; the runtime's is the last.
    RuntimeStarted(Vec<i32>),
    /// It could not be executed.
    RuntimeFailed(StartError),
    /// A process has ended.
    Ended(Process, ExitStatus),
}

/// The first process of a container to the worker that made it. Without a word, and
/// with the end of its socket, an image without extensions has its runtime running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExecutorReport {
    /// These extensions were started, or not; the runtime waits for a command.
    Extensions(Vec<ExtensionLaunch>),
    /// Nothing was started.
    Failed(StartError),
}

/// Launcher to service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// The first processes run; with the descriptors of the Runtime API's
    /// listening socket and of `/tmp`.
    Started {
        environment: EnvironmentId,
        started: Started,
    },
    /// Nothing runs.
    StartFailed {
        environment: EnvironmentId,
        error: StartError,
    },
    /// The entry point is running; with the descriptor of its status file in
    /// `/proc`.
    RuntimeStarted { environment: EnvironmentId },
    /// The entry point could not be executed; extensions run.
    RuntimeFailed {
        environment: EnvironmentId,
        error: StartError,
    },
    /// A process that init has started is dead. Which, and how it ended, follows when
    /// init can say it, which it cannot while the environment is frozen.
    Died { environment: EnvironmentId },
    /// One of the processes that init has started is gone.
    Ended {
        environment: EnvironmentId,
        process: Process,
        status: ExitStatus,
    },
    /// The container is gone with all processes; how the runtime ended, or else
    /// init.
    Exited {
        environment: EnvironmentId,
        status: ExitStatus,
    },
    /// Nothing is left of the environment.
    Removed { environment: EnvironmentId },
}

/// A sandbox that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Pid of the container's init; meaningful to the launcher only.
    pub(crate) init: i32,
    pub(crate) storage: StorageKind,
    /// The programs of `/opt/extensions`, in the order of their starts.
    pub(crate) extensions: Vec<ExtensionLaunch>,
    /// When the first process was let go, on the system's monotonic clock, in
    /// nanoseconds: INIT counts from here.
    pub(crate) at_ns: u64,
}

/// How `/tmp` is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StorageKind {
    /// A file system of its own on a loop device: exact, and not charged to
    /// the function's memory.
    Loop,
    /// A tmpfs, whose pages are charged to the function: the memory limit was
    /// raised by the size of `/tmp` to make up for it.
    ChargedTmpfs,
    /// A tmpfs, where no memory limit is there to be charged.
    Tmpfs,
}

/// Why a sandbox could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum StartError {
    /// The program could not be executed: the image's or the user's fault.
    #[error("{0}")]
    Entrypoint(String),
    /// The working directory could not be entered: the same.
    #[error("{0}")]
    WorkingDirectory(String),
    /// It was killed on request before it ran.
    #[error("killed while it was started")]
    Killed,
    /// This host cannot do what is needed.
    #[error("{0}")]
    Host(String),
}
