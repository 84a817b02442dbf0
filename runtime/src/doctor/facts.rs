//! [`Facts`]: what was seen on a host, without judgement. Plain data: tests make
//! up hosts that way, and a probing process sends it to the one that asked.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sandbox::user_namespace::{Ungrouped, UserNamespace};

/// A refusal by the kernel: at what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// What was tried, in the form "write memory.max".
    pub(crate) step: String,
    /// The error number; 0 where the reason is none of the kernel's.
    pub(crate) errno: i32,
    /// The error's text.
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(step: impl Into<String>, error: &io::Error) -> Self {
        Self {
            step: step.into(),
            errno: error.raw_os_error().unwrap_or(0),
            reason: error.to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.step, self.reason)
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Tried {
    /// It was not made: it needs rights that are missing, or nobody asked.
    #[default]
    Untried,
    Works,
    Fails(Refusal),
}

impl Tried {
    /// The result of an attempt that is called `step`.
    pub(crate) fn of<T>(step: &str, result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Works,
            Err(error) => Self::Fails(Refusal::new(step, &error)),
        }
    }

    pub(crate) fn works(&self) -> bool {
        matches!(self, Self::Works)
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Fails(refusal) => Some(refusal),
            Self::Untried | Self::Works => None,
        }
    }
}

/// Where Lambent runs, as far as that changes how a gap is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// A machine, real or virtual.
    #[default]
    Machine,
    /// The virtual machine of Windows' subsystem for Linux.
    Wsl,
    Docker,
    Podman,
    Kubernetes,
    /// A job of GitHub Actions with a `container`.
    GithubContainer,
    /// Some other container.
    Container,
}

impl Place {
    pub(crate) fn is_container(self) -> bool {
        !matches!(self, Self::Machine | Self::Wsl)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct User {
    /// The effective user.
    pub(crate) uid: u32,
    /// `CAP_SYS_ADMIN` is in force.
    pub(crate) sys_admin: bool,
    /// The user is one of a user namespace, so root is not the host's.
    pub(crate) in_user_namespace: bool,
}

impl User {
    /// Whether the rights are there without which nothing can be tried.
    pub(crate) fn may_try(&self) -> bool {
        self.uid == 0 && self.sys_admin
    }
}

/// What an ordinary user may do about namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct UserNamespaces {
    /// Making one in which this user is root.
    pub(crate) tried: Tried,
    /// Debian's and Arch's `kernel.unprivileged_userns_clone`.
    pub(crate) unprivileged_clone: Option<u64>,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`.
    pub(crate) apparmor_restricts: Option<u64>,
    /// `user.max_user_namespaces`.
    pub(crate) max: Option<u64>,
}

/// How cgroups are mounted at `/sys/fs/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CgroupLayout {
    /// Nothing that Lambent can use.
    #[default]
    None,
    /// v1 only.
    Legacy,
    /// v1's controllers beside an empty v2.
    Hybrid,
    /// v2 only.
    Unified,
}

/// What cgroups do here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Cgroups {
    pub(crate) layout: CgroupLayout,
    /// A controller that the kernel's command line or default turns off.
    pub(crate) memory_disabled: bool,
    /// Making a group below Lambent's own, and moving a process into it.
    pub(crate) group: Tried,
    /// Enabling the controllers for it; v1 needs no enabling.
    pub(crate) delegation: Tried,
    pub(crate) memory: Tried,
    /// Forbidding swap.
    pub(crate) swap: Tried,
    pub(crate) cpu: Tried,
    pub(crate) processes: Tried,
    /// v1's rules for devices, without which nothing starts there.
    pub(crate) devices: Tried,
    /// Stopping a process and letting it go.
    pub(crate) freezer: Tried,
}

/// A kind of namespace that functions get, and whether it can be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) tried: Tried,
}

/// What can be mounted in a mount namespace of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Mounts {
    pub(crate) tmpfs: Tried,
    pub(crate) proc: Tried,
    pub(crate) sysfs: Tried,
    /// Two directories stacked, one of them where images are kept.
    pub(crate) overlay: Tried,
    /// A file from where images are kept.
    pub(crate) erofs: Tried,
}

/// The parts of an exact `/tmp`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Storage {
    /// `mkfs.ext4` and `tune2fs` make a file system.
    pub(crate) mkfs: Tried,
    /// Sizes of `/tmp`, in MB, for which there is a file system to copy already.
    pub(crate) ready_mb: Vec<u64>,
    /// There are loop devices, and one can be attached.
    pub(crate) loop_device: Tried,
    /// The kernel refuses a device that it offered, which Lambent does not
    /// work around.
    pub(crate) loop_broken: bool,
    /// What `mkfs.ext4` made can be mounted from it.
    pub(crate) ext4: Tried,
}

/// Where images and the files behind `/tmp` are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Store {
    /// The directory, whether or not it is there yet.
    pub(crate) directory: PathBuf,
    /// The kind of file system.
    pub(crate) file_system: String,
    /// MB that are free for this user.
    pub(crate) free_mb: Option<u64>,
    /// Making a file there, or in the directory in which it would be made.
    pub(crate) writable: Tried,
    /// Making a whiteout, the device node that hides a file of a lower layer.
    pub(crate) whiteout: Tried,
}

/// Limits that all environments of this host share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// Keys that the functions' user may still have: one for each environment.
    pub(crate) keys: Option<u64>,
    /// Processes and threads that may still be made.
    pub(crate) processes: Option<u64>,
    /// `fs.inotify.max_user_instances`, for all functions together.
    pub(crate) inotify_instances: Option<u64>,
}

/// Everything that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The kernel's release.
    pub(crate) kernel: String,
    pub(crate) place: Place,
    /// A Raspberry Pi, whose firmware turns the memory controller off.
    pub(crate) raspberry_pi: bool,
    pub(crate) user: User,
    pub(crate) user_namespaces: UserNamespaces,
    /// The user namespace in which functions run: none for the host's root.
    pub(crate) namespace: Option<UserNamespace>,
    /// System calls that Lambent needs and the kernel lacks, each with the
    /// version that brought it.
    pub(crate) missing_calls: Vec<String>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) mounts: Mounts,
    pub(crate) seccomp: Tried,
    pub(crate) cgroups: Cgroups,
    pub(crate) storage: Storage,
    pub(crate) store: Store,
    pub(crate) cpus: usize,
    /// Memory of the host or of the container that this is, in MB.
    pub(crate) memory_mb: Option<u64>,
    /// Swap space that is turned on, in MB.
    pub(crate) swap_mb: Option<u64>,
    pub(crate) shared: Shared,
}

impl Facts {
    /// Why there are no cgroups for functions, which run all the same.
    pub(crate) fn ungrouped(&self) -> Option<&Ungrouped> {
        self.namespace.as_ref()?.ungrouped.as_ref()
    }
}
