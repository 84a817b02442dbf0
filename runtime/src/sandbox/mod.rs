//! The door to libcontainer: everything between "these directories and these
//! settings" and "a process runs in there, with these limits".
//!
//! | file | runs in | does |
//! |---|---|---|
//! | `client` | service | asks the launcher, hears what happened |
//! | `launcher` | launcher | parent of all containers |
//! | `worker`, `executor`, `init`, `program` | forks of the launcher | drive libcontainer, end in the container's process 1, which starts extensions and the entry point |
//! | `stragglers` | launcher, worker | ends what a failed start has left, without cgroups |
//! | `spec`, `seccomp`, `protocol` | anywhere | pure: what a sandbox is |
//! | `user_namespace` | the command, before anything else | makes an ordinary user the root of namespaces |
//! | `storage`, `network`, `cgroup`, `cpus` | where the table's rows call them | one kernel facility each |

pub(crate) mod cgroup;
mod channel;
pub(crate) mod client;
mod cpus;
mod executor;
mod init;
mod launcher;
mod network;
mod program;
mod protocol;
mod seal;
pub(crate) mod seccomp;
mod spec;
pub(crate) mod storage;
mod stragglers;
pub(crate) mod sweep;
pub(crate) mod user_namespace;
mod worker;

pub(crate) use launcher::remove_dead_service;
pub use launcher::run as run_launcher;
pub(crate) use network::{Network, RUNTIME_API};
pub(crate) use protocol::{
    HOST_SHELL, Process, SandboxSpec, StartError, Started, StopSignal, StorageKind, Streams,
};

/// The system's monotonic clock in nanoseconds, comparable between processes.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
