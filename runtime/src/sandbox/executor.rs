//! The last steps inside a new container, from libcontainer's hands to the
//! entry point.
//!
//! Runs in the container's first process, which stays as its [`init`] while a
//! child of it becomes the entry point. What goes wrong before that is told over
//! a pipe that closes by itself when the entry point runs, because libcontainer
//! reports only that it has sent the start signal.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use rustix::process::Signal;
use rustix::thread::CpuSet;

use super::protocol::StartError;
use super::{channel, init};
use crate::sys::{self, Fork};

/// Hardens init and executes the entry point.
#[derive(Clone, Debug)]
pub(crate) struct FunctionExecutor {
    /// Compiled once by the launcher.
    pub(crate) seccomp: Rc<[libc::sock_filter]>,
    /// The CPUs that the function sees, if not all.
    pub(crate) affinity: Option<CpuSet>,
    /// Where to report a failure.
    pub(crate) report: Rc<OwnedFd>,
    /// Where init reports how the entry point's process ended.
    pub(crate) exit_report: Rc<OwnedFd>,
}

impl Executor for FunctionExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let error = match self.run(spec) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        // If nobody listens any more there is nobody to tell.
        let _ = channel::send(self.report.as_fd(), &error, &[]);
        Err(ExecutorError::Other(error.to_string()))
    }

    /// The earliest point in init that is ours: after this, init does not
    /// outlive the launcher, whatever it waits for.
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| {
            ExecutorValidationError::ArgValidationError(format!("parent death signal: {error}"))
        })
    }

    /// The environment goes to `execve` as it is; this process keeps its own.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

impl FunctionExecutor {
    fn run(&self, spec: &Spec) -> Result<Infallible, StartError> {
        let host = |what: &str, error: io::Error| StartError::Host(format!("{what}: {error}"));
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| StartError::Host("the spec has no process".to_owned()))?;
        let args = process.args().clone().unwrap_or_default();
        let env = process.env().clone().unwrap_or_default();
        let arguments = strings(&args)?;
        let variables = strings(&env)?;
        let program = find_program(&args, &env)?;
        let program_text = CString::new(program.as_os_str().as_encoded_bytes())
            .map_err(|_| StartError::Entrypoint("exec: a NUL in the path".to_owned()))?;

        // Joining a cpuset may have widened it, so this comes last.
        if let Some(affinity) = &self.affinity {
            rustix::thread::sched_setaffinity(None, affinity)
                .map_err(|error| host("choose CPUs", error.into()))?;
        }
        sys::join_new_session_keyring()
            .or_else(ignore_missing_keyrings)
            .map_err(|error| host("session keyring", error))?;
        sys::install_seccomp_filter(&self.seccomp)
            .map_err(|error| host("seccomp filter", error))?;
        let forked = sys::fork().map_err(|error| host("fork", error))?;
        if let Fork::Parent(runtime) = forked {
            init::run(runtime, &self.exit_report);
        }
        // Signals to its process group are not for init.
        rustix::process::setsid().map_err(|error| host("setsid", error.into()))?;
        sys::reset_signals();
        let error = sys::execve(&program_text, &arguments, &variables);
        Err(StartError::Entrypoint(format!(
            "fork/exec {}: {}",
            program.display(),
            errno_text(&error)
        )))
    }
}

/// Kernels without keyrings have none to share.
fn ignore_missing_keyrings(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => Ok(()),
        _ => Err(error),
    }
}

fn strings(list: &[String]) -> Result<Vec<CString>, StartError> {
    list.iter()
        .map(|text| {
            CString::new(text.as_str()).map_err(|_| {
                StartError::Entrypoint(format!("exec: {text:?} contains a NUL character"))
            })
        })
        .collect()
}

/// Looks the program up as Lambda's init does: a name without a slash is
/// searched in the function's `PATH`.
fn find_program(args: &[String], env: &[String]) -> Result<PathBuf, StartError> {
    let name = args
        .first()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| StartError::Entrypoint("exec: no command".to_owned()))?;
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    env.iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .into_iter()
        .flat_map(|path| path.split(':'))
        .map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name))
        .find(|candidate| {
            candidate.is_file()
                && rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok()
        })
        .ok_or_else(|| {
            StartError::Entrypoint(format!(
                "exec: \"{}\": executable file not found in $PATH",
                name.escape_debug()
            ))
        })
}

/// Go's texts for the errors of `execve`, which is what Lambda prints.
fn errno_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "no such file or directory".to_owned(),
        Some(libc::EACCES) => "permission denied".to_owned(),
        Some(libc::ENOEXEC) => "exec format error".to_owned(),
        Some(libc::ENOTDIR) => "not a directory".to_owned(),
        Some(libc::ELOOP) => "too many levels of symbolic links".to_owned(),
        Some(libc::E2BIG) => "argument list too long".to_owned(),
        _ => error.to_string(),
    }
}
