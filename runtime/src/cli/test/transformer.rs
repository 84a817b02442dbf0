//! jq filters of suites in a process of their own each: they may never end, or take all
//! memory, and a thread cannot be stopped.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal};
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

/// Runs a filter within its limits.
///
/// # Errors
/// It fails, or passes a limit; the text is the end of a sentence about it.
pub(super) fn transform(transformation: &Transformation) -> Answer {
    let (answer, status) =
        ask(transformation).map_err(|error| format!("it could not be run: {error}"))?;
    serde_json::from_slice(&answer).unwrap_or_else(|_| Err(ended(status)))
}

fn ask(transformation: &Transformation) -> io::Result<(Vec<u8>, ExitStatus)> {
    let mut child = Command::new("/proc/self/exe")
        .arg(TRANSFORM_COMMAND)
        .env_clear()
        .current_dir(Path::new("/"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let exchange = |child: &mut std::process::Child| {
        let request = serde_json::to_vec(transformation)?;
        let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut requests = child.stdin.take().ok_or_else(no_pipe)?;
        // It reads all of it before it writes anything.
        requests.write_all(&request)?;
        drop(requests);
        let mut answer = vec![];
        let mut answers = child.stdout.take().ok_or_else(no_pipe)?;
        answers.read_to_end(&mut answer)?;
        Ok::<_, io::Error>(answer)
    };
    let answer = exchange(&mut child);
    if answer.is_err() {
        // It may have ended already, which is as good.
        let _ = child.kill();
    }
    let status = child.wait()?;
    Ok((answer?, status))
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
