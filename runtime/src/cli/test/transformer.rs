//! jq filters of suites in a process of their own each: they may never end, or take all
//! memory, and a thread cannot be stopped.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process};
use serde_json::Value;

use crate::suite::Transformation;

/// The hidden subcommand that runs a filter.
pub const TRANSFORM_COMMAND: &str = "__transform";

/// CPU time of a filter, in seconds. Not time by the clock: a busy host is no reason to
/// fail.
const SECONDS: u64 = 5;

/// Memory of a filter, in bytes of address space.
const MEMORY: u64 = 1 << 30;

/// What became of it.
type Answer = Result<Value, String>;

/// How long an interrupted command waits for its filters to be gone, which are killed.
const END: Duration = Duration::from_secs(2);

/// Runs filters, and ends them when the command does.
#[derive(Debug, Default)]
pub(super) struct Transformer {
    running: Mutex<Running>,
    /// Told when one of them is gone.
    gone: Condvar,
}

#[derive(Debug, Default)]
struct Running {
    /// Processes that have not been waited for, so that their numbers are theirs.
    processes: Vec<Pid>,
    /// No more may begin.
    stopped: bool,
}

impl Transformer {
    /// Runs a filter within its limits.
    ///
    /// # Errors
    /// It fails, or passes a limit; the text is the end of a sentence about it.
    pub(super) fn transform(&self, transformation: &Transformation) -> Answer {
        let (answer, status) = self
            .ask(transformation)
            .map_err(|error| format!("it could not be run: {error}"))?;
        serde_json::from_slice(&answer).unwrap_or_else(|_| Err(ended(status)))
    }

    /// Kills what runs, and waits until nothing of it is left, not even a zombie.
    pub(super) fn stop(&self) {
        let mut running = self.lock();
        running.stopped = true;
        for process in &running.processes {
            // It may have ended already, which is as good.
            let _ = kill_process(*process, Signal::KILL);
        }
        let waited = self
            .gone
            .wait_timeout_while(running, END, |running| !running.processes.is_empty());
        drop(waited);
    }

    /// The state; a thread that panicked while it held it has left it whole.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a filter, unless the command ends.
    fn begin(&self) -> io::Result<Child> {
        let mut running = self.lock();
        if running.stopped {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = Command::new("/proc/self/exe")
            .arg(TRANSFORM_COMMAND)
            .env_clear()
            .current_dir(Path::new("/"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        running.processes.push(Pid::from_child(&child));
        Ok(child)
    }

    /// Waits for one that has said all that it has to say, or was killed: it ends at once.
    fn end(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut running = self.lock();
        let own = Pid::from_child(child);
        let status = child.wait();
        running.processes.retain(|process| *process != own);
        drop(running);
        self.gone.notify_all();
        status
    }

    fn ask(&self, transformation: &Transformation) -> io::Result<(Vec<u8>, ExitStatus)> {
        let mut child = self.begin()?;
        let answer = exchange(&mut child, transformation);
        if answer.is_err() {
            // It may have ended already, which is as good.
            let _ = child.kill();
        }
        let status = self.end(&mut child)?;
        Ok((answer?, status))
    }
}

fn exchange(child: &mut Child, transformation: &Transformation) -> io::Result<Vec<u8>> {
    let request = serde_json::to_vec(transformation)?;
    let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut requests = child.stdin.take().ok_or_else(no_pipe)?;
    // It reads all of it before it writes anything.
    requests.write_all(&request)?;
    drop(requests);
    let mut answer = vec![];
    let mut answers = child.stdout.take().ok_or_else(no_pipe)?;
    answers.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Why there is no answer.
fn ended(status: ExitStatus) -> String {
    let signal = status.signal().and_then(Signal::from_named_raw);
    match signal {
        Some(Signal::XCPU | Signal::KILL) => {
            format!("it has not come to an end within {SECONDS} s of CPU time")
        }
        Some(Signal::ABORT | Signal::SEGV) => format!(
            "it took more than {} MB of memory, or called itself without end",
            MEMORY >> 20
        ),
        _ => format!("its process ended with {status}"),
    }
}

/// The whole life of the process: a [`Transformation`] on standard input, an [`Answer`] on
/// standard output.
///
/// # Errors
/// Nobody asks, or reads the answer.
pub fn answer_transform() -> io::Result<()> {
    // Whoever asked has no use for an answer when they are gone.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, limit) in [
        (Resource::Cpu, SECONDS),
        (Resource::As, MEMORY),
        (Resource::Core, 0),
    ] {
        let limit = Some(limit);
        let limits = Rlimit {
            current: limit,
            maximum: limit,
        };
        rustix::process::setrlimit(resource, limits)?;
    }
    let mut request = vec![];
    io::stdin().lock().read_to_end(&mut request)?;
    let request: Transformation = serde_json::from_slice(&request)?;
    let answer: Answer = request.run();
    serde_json::to_writer(io::stdout().lock(), &answer)?;
    io::stdout().flush()
}
