//! The last steps inside a new container, from libcontainer's hands to the
//! container's [`init`].
//!
//! Runs in the container's first process, which stays as its init and starts
//! extensions and the entry point. What goes wrong before they run, and who the
//! extensions are, is told over a socket that closes when they do, because
//! libcontainer reports only that it has sent the start signal.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet, UnshareFlags};

use super::channel;
use super::init::{self, Init};
use super::program::Program;
use super::protocol::{ExecutorReport, StartError};
use super::spec::MAX_PROCESSES;
use crate::model::{GROUP_ID, USER_ID, extension_environment};
use crate::sys;

/// Hardens init, and lets it start the first processes.
#[derive(Clone, Debug)]
pub(crate) struct FunctionExecutor {
    /// Compiled once by the launcher.
    pub(crate) seccomp: Rc<[libc::sock_filter]>,
    /// There is one id only, which becomes the function's.
    pub(crate) one_id: bool,
    /// No cgroup limits processes, so an rlimit has to.
    pub(crate) limits_processes: bool,
    /// The CPUs that the function sees, if not all.
    pub(crate) affinity: Option<CpuSet>,
    /// By how many nanoseconds the function's time slices exceed the usual ones.
    pub(crate) slice_excess_ns: u64,
    /// Where to report who was started, or a failure.
    pub(crate) report: Rc<OwnedFd>,
    /// Where init reports what becomes of its processes, and takes commands.
    pub(crate) control: Rc<OwnedFd>,
    /// Standard output and error of extensions; none where they are not started.
    pub(crate) extension_log: Option<Rc<OwnedFd>>,
}

impl Executor for FunctionExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let error = match self.run(spec) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        // If nobody listens any more there is nobody to tell.
        let text = error.to_string();
        let _ = channel::send(self.report.as_fd(), &ExecutorReport::Failed(error), &[]);
        Err(ExecutorError::Other(text))
    }

    /// The earliest point in init that is ours: after this, init does not
    /// outlive the launcher, whatever it waits for.
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        let fail = |text| Err(ExecutorValidationError::ArgValidationError(text));
        if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
            return fail(format!("parent death signal: {error}"));
        }
        // Of a death before that nobody signals. The parent has another pid namespace, and
        // so no number here; but the other end of this socket is its own alone.
        if channel::is_closed(self.control.as_fd()) {
            return fail("the launcher is gone".to_owned());
        }
        Ok(())
    }

    /// The environment goes to `execve` as it is; this process keeps its own.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

impl FunctionExecutor {
    fn run(&self, spec: &Spec) -> Result<Infallible, StartError> {
        let host = |what: &str, error: io::Error| StartError::Host(format!("{what}: {error}"));
        if self.one_id {
            become_function().map_err(|error| host("become Lambda's user", error))?;
        }
        if self.limits_processes {
            let limit = Some(u64::from(MAX_PROCESSES));
            let limits = Rlimit {
                current: limit,
                maximum: limit,
            };
            rustix::process::setrlimit(Resource::Nproc, limits)
                .map_err(|error| host("limit processes", error.into()))?;
        }
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| StartError::Host("the spec has no process".to_owned()))?;
        let args = process.args().clone().unwrap_or_default();
        let env = process.env().clone().unwrap_or_default();
        let runtime = Program::entry_point(&args, &env)?;

        // Joining a cpuset may have widened it, so this comes last.
        if let Some(affinity) = &self.affinity {
            rustix::thread::sched_setaffinity(None, affinity)
                .map_err(|error| host("choose CPUs", error.into()))?;
        }
        // A host that does not let us only serves its other programs a little later.
        let _ = sys::lengthen_slice(self.slice_excess_ns);
        sys::join_new_session_keyring()
            .or_else(ignore_missing_keyrings)
            .map_err(|error| host("session keyring", error))?;
        sys::install_seccomp_filter(&self.seccomp)
            .map_err(|error| host("seccomp filter", error))?;
        let ended = sys::child_signals().map_err(|error| host("signalfd", error))?;
        let mut init = Init::new(runtime);
        let log = self.extension_log.as_ref();
        let extensions = log.map(|log| (log, init::extensions()));
        match extensions.filter(|(_, extensions)| !extensions.is_empty()) {
            None => init.start_runtime()?,
            Some((log, extensions)) => {
                let env = extension_environment(&env);
                let launched = init.start_extensions(extensions, &env, log.as_fd());
                let report = ExecutorReport::Extensions(launched);
                channel::send(self.report.as_fd(), &report, &[])
                    .map_err(|error| host("report the extensions", error))?;
            }
        }
        init.run(self.control.as_fd(), ended.as_fd())
    }
}

/// Gives the single id that there is the number of Lambda's user, in a further user
/// namespace: all that is made before needs a root. No right is left in there.
///
/// Its processes are counted apart from all others of the id, so that the limit of
/// their number is the environment's own.
fn become_function() -> io::Result<()> {
    // The files of a process that is not dumpable belong to somebody else.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    sys::unshare(UnshareFlags::NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{GROUP_ID} 0 1"))?;
    fs::write("/proc/self/uid_map", format!("{USER_ID} 0 1"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first that this kernel does not know.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        },
    )?;
    // A change of rights may have taken it away.
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// Kernels without keyrings have none to share.
fn ignore_missing_keyrings(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => Ok(()),
        _ => Err(error),
    }
}
