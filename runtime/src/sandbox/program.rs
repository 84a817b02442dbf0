//! A program to execute inside the container, and how init starts it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitOptions};

use super::protocol::StartError;
use crate::sys::{self, Fork};

/// What `execve` takes.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    path_text: CString,
    arguments: Vec<CString>,
    variables: Vec<CString>,
}

impl Program {
    /// The entry point: its first argument is looked up as Lambda's init does, a
    /// name without a slash in the function's `PATH`.
    pub(super) fn entry_point(args: &[String], env: &[String]) -> Result<Self, StartError> {
        let path = find(args, env)?;
        Ok(Self {
            path_text: text(path.as_os_str())?,
            path,
            arguments: texts(args)?,
            variables: texts(env)?,
        })
    }

    /// An extension: no arguments.
    pub(super) fn extension(path: PathBuf, env: &[String]) -> Result<Self, StartError> {
        let path_text = text(path.as_os_str())?;
        Ok(Self {
            path,
            arguments: vec![path_text.clone()],
            path_text,
            variables: texts(env)?,
        })
    }

    /// Starts it in a session of its own, with the signals of a fresh program.
    /// With `log` as its standard output and error, in the directory `/`; without,
    /// with what init itself has.
    ///
    /// Returns when the program runs.
    ///
    /// # Errors
    /// It cannot be executed.
    pub(super) fn start(&self, log: Option<BorrowedFd<'_>>) -> io::Result<Pid> {
        // The writing end closes by itself when the program is executed.
        let (failure, report) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        match sys::fork()? {
            Fork::Child => {
                let error = self.execute(log);
                let code = error.raw_os_error().unwrap_or(libc::EIO);
                let _ = rustix::io::write(&report, &code.to_ne_bytes());
                sys::exit_now(1)
            }
            Fork::Parent(pid) => {
                drop(report);
                let mut code = [0; size_of::<i32>()];
                if File::from(failure).read_exact(&mut code).is_err() {
                    return Ok(pid);
                }
                // It has ended or is about to.
                let reaped = || rustix::process::waitpid(Some(pid), WaitOptions::empty());
                let _ = rustix::io::retry_on_intr(reaped);
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)))
            }
        }
    }

    /// The new process. Returns only on failure.
    fn execute(&self, log: Option<BorrowedFd<'_>>) -> io::Error {
        let prepared = || -> Result<(), Errno> {
            if let Some(log) = log {
                rustix::stdio::dup2_stdout(log)?;
                rustix::stdio::dup2_stderr(log)?;
                rustix::process::chdir("/")?;
            }
            // Signals to its process group are not for init.
            rustix::process::setsid()?;
            if log.is_none() {
                // A shell's terminal sends signals to what runs in it. What is none, as
                // a function's standard input, refuses.
                let _ = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin());
            }
            Ok(())
        };
        if let Err(error) = prepared() {
            return error.into();
        }
        sys::reset_signals();
        sys::execve(&self.path_text, &self.arguments, &self.variables)
    }

    /// What Lambda says when it cannot be executed.
    pub(super) fn failure(&self, error: &io::Error) -> String {
        format!("fork/exec {}: {}", self.path.display(), errno_text(error))
    }
}

fn text(text: &OsStr) -> Result<CString, StartError> {
    CString::new(text.as_encoded_bytes()).map_err(|_| {
        StartError::Entrypoint(format!(
            "exec: \"{}\" contains a NUL character",
            text.to_string_lossy().escape_debug()
        ))
    })
}

fn texts(list: &[String]) -> Result<Vec<CString>, StartError> {
    list.iter().map(|entry| text(OsStr::new(entry))).collect()
}

fn find(args: &[String], env: &[String]) -> Result<PathBuf, StartError> {
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
pub(super) fn errno_text(error: &io::Error) -> String {
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
