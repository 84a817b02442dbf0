//! Process 1 of a container.
//!
//! On Lambda a runtime is not process 1 either, and it matters: the kernel spares
//! process 1 the signals that it sends to itself (`abort` would not abort), and
//! whatever a function leaves behind becomes a child of process 1, which has to
//! reap it or the environment fills up with zombies.
//!
//! Init starts the programs of `/opt/extensions`, and the runtime when it is told
//! to, or at once where there are no extensions. It says how each of them ended, and
//! ends the container when none is left.
//!
//! It is the process that libcontainer made, so it runs this program's sealed
//! copy, as Lambda's user, behind the filter, not dumpable, with no descriptor
//! but the two that it waits on, once everything is started.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions};

use super::channel;
use super::program::{Program, errno_text};
use super::protocol::{InitCommand, InitReport, Process, StartError, StopSignal};
use crate::model::{ExitStatus, ExtensionLaunch, LaunchFailure, MAX_EXTENSIONS};
use crate::sys;

/// Where external extensions are: in the image, or in layers.
const EXTENSIONS: &str = "/opt/extensions";

/// A file of [`EXTENSIONS`], or why the directory cannot be read.
pub(super) type Candidate = Result<PathBuf, LaunchFailure>;

/// Every file of `/opt/extensions`, by name: as on Lambda, executable or not, and
/// whatever a link leads to. Not its directories.
pub(super) fn extensions() -> Vec<Candidate> {
    let entries = match fs::read_dir(EXTENSIONS) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return vec![],
        Err(error) => return vec![Err(unreadable(&error))],
    };
    let mut files: Vec<Candidate> = entries
        .filter_map(|entry| match entry {
            Ok(entry) => {
                let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                (!directory).then(|| Ok(entry.path()))
            }
            Err(error) => Some(Err(unreadable(&error))),
        })
        .collect();
    files.sort_by_key(|file| file.clone().ok());
    files
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(error: &io::Error) -> LaunchFailure {
    LaunchFailure {
        error_type: launch_error_type(error).to_owned(),
        reason: format!("open {EXTENSIONS}: {}", errno_text(error)),
    }
}

/// Lambda's word for why an extension does not run.
fn launch_error_type(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "PermissionDenied"
    } else {
        "UnknownError"
    }
}

/// What init knows of its processes.
#[derive(Debug)]
pub(super) struct Init {
    program: Program,
    /// Those that run.
    running: Vec<(Process, Pid)>,
    /// The runtime was started, or tried.
    complete: bool,
}

impl Init {
    pub(super) fn new(runtime: Program) -> Self {
        Self {
            program: runtime,
            running: vec![],
            complete: false,
        }
    }

    /// Starts extensions, up to the first that cannot be, as Lambda does.
    pub(super) fn start_extensions(
        &mut self,
        candidates: Vec<Candidate>,
        env: &[String],
        log: BorrowedFd<'_>,
    ) -> Vec<ExtensionLaunch> {
        let mut launches = vec![];
        for (index, candidate) in candidates.into_iter().enumerate() {
            let path = candidate
                .as_deref()
                .unwrap_or_else(|_| Path::new(EXTENSIONS));
            let name = path.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            let failure = if index >= MAX_EXTENSIONS {
                Some(LaunchFailure {
                    error_type: "TooManyExtensions".to_owned(),
                    reason: "ErrTooManyExtensions".to_owned(),
                })
            } else {
                candidate
                    .and_then(|path| start_extension(path, env, log))
                    .map(|pid| self.running.push((Process::Extension(index), pid)))
                    .err()
            };
            let failed = failure.is_some();
            launches.push(ExtensionLaunch { name, failure });
            if failed {
                break;
            }
        }
        launches
    }

    /// Starts the runtime.
    pub(super) fn start_runtime(&mut self) -> Result<(), StartError> {
        self.complete = true;
        let pid = self
            .program
            .start(None)
            .map_err(|error| StartError::Entrypoint(self.program.failure(&error)))?;
        self.running.push((Process::Runtime, pid));
        Ok(())
    }

    /// The pids of those that run, as the container numbers them.
    fn pids(&self) -> Vec<i32> {
        let pids = self.running.iter();
        pids.map(|(_, pid)| Pid::as_raw(Some(*pid))).collect()
    }

    /// Reaps, obeys and reports until no process is left that it has started, and
    /// ends the container.
    pub(super) fn run(mut self, control: BorrowedFd<'_>, ended: BorrowedFd<'_>) -> ! {
        // Only for those who look at `ps`.
        let _ = rustix::thread::set_name(c"init");
        self.close_others(control, ended);
        loop {
            self.reap(control);
            if self.running.is_empty() {
                sys::exit_now(0);
            }
            let mut wanted = [
                PollFd::from_borrowed_fd(control, PollFlags::IN),
                PollFd::from_borrowed_fd(ended, PollFlags::IN),
            ];
            match rustix::event::poll(&mut wanted, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => sys::exit_now(1),
            }
            if !wanted[1].revents().is_empty() {
                // One read takes all that is pending of one signal.
                let _ = rustix::io::read(ended, &mut [0; sys::SIGNAL_BYTES]);
            }
            if !wanted[0].revents().is_empty() {
                match channel::receive::<InitCommand>(control) {
                    Ok(Some((command, _))) => {
                        self.obey(command, control);
                        self.close_others(control, ended);
                    }
                    // The launcher is gone, and so are we.
                    Ok(None) | Err(_) => sys::exit_now(1),
                }
            }
        }
    }

    /// Closes what nothing here needs any more: worker and service wait for the ends
    /// of some of it. Until the runtime is started, its log stays.
    fn close_others(&self, control: BorrowedFd<'_>, ended: BorrowedFd<'_>) {
        if self.complete {
            sys::close_all_except(control, ended);
        } else {
            sys::close_from_three_except(control, ended);
        }
    }

    fn obey(&mut self, command: InitCommand, control: BorrowedFd<'_>) {
        match command {
            InitCommand::StartRuntime if self.complete => {}
            InitCommand::StartRuntime => {
                let report = match self.start_runtime() {
                    Ok(()) => InitReport::RuntimeStarted(self.pids()),
                    Err(error) => InitReport::RuntimeFailed(error),
                };
                tell(control, &report);
            }
            InitCommand::Signal(process, signal) => {
                let signal = match signal {
                    StopSignal::Terminate => Signal::TERM,
                    StopSignal::Kill => Signal::KILL,
                };
                for (_, pid) in self.running.iter().filter(|(other, _)| *other == process) {
                    // It leads its process group. One that ends right now needs no
                    // signal.
                    let _ = rustix::process::kill_process_group(*pid, signal);
                }
            }
        }
    }

    fn reap(&mut self, control: BorrowedFd<'_>) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let found = self.running.iter().position(|(_, other)| *other == pid);
                    if let Some(index) = found {
                        let (process, _) = self.running.remove(index);
                        let status = ExitStatus::from_wait(status);
                        tell(control, &InitReport::Ended(process, status));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

fn start_extension(
    path: PathBuf,
    env: &[String],
    log: BorrowedFd<'_>,
) -> Result<Pid, LaunchFailure> {
    let unknown = |error: StartError| LaunchFailure {
        error_type: "UnknownError".to_owned(),
        reason: error.to_string(),
    };
    let program = Program::extension(path, env).map_err(unknown)?;
    program.start(Some(log)).map_err(|error| LaunchFailure {
        error_type: launch_error_type(&error).to_owned(),
        reason: program.failure(&error),
    })
}

/// A launcher that is gone has no use for it.
fn tell(control: BorrowedFd<'_>, report: &InitReport) {
    let _ = channel::send(control, report, &[]);
}
