//! The probing process, from both of its ends.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::super::facts::Facts;
use super::{Request, try_everything};
use crate::sandbox::user_namespace;
use crate::state::StateDirectories;

/// The hidden subcommand that probes.
pub const PROBE_COMMAND: &str = "__probe";

/// How long probing may take. It takes a tenth of a second; a host on which a
/// step of it hangs is to be told so, not to hang the command.
const LIMIT: Duration = Duration::from_secs(20);

/// Probes this host in a process of its own.
///
/// # Errors
/// The process cannot be started, hangs or ends without an answer.
pub(crate) fn ask(directories: &StateDirectories) -> io::Result<Facts> {
    let request = serde_json::to_string(&Request::of(directories))?;
    let mut child = Command::new("/proc/self/exe")
        .args([PROBE_COMMAND, &request])
        .current_dir(Path::new("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let answer = read_answer(&mut child);
    if answer.is_err() {
        // It may have ended already, which is as good.
        let _ = child.kill();
    }
    let status = child.wait()?;
    let answer = answer?;
    serde_json::from_slice(&answer)
        .map_err(|error| io::Error::other(format!("it ended with {status}: {error}")))
}

fn read_answer(child: &mut Child) -> io::Result<Vec<u8>> {
    let mut stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("it has no standard output"))?;
    let deadline = Instant::now() + LIMIT;
    let mut answer = vec![];
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&stdout, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(0) => {
                let text = format!("it did not answer within {} s", LIMIT.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match stdout.read(&mut buffer)? {
            0 => return Ok(answer),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The whole life of the probing process: facts on standard output.
///
/// # Errors
/// The request is not one, or nobody reads the answer.
pub fn answer(request: &str) -> io::Result<()> {
    // A session of its own: a ctrl-C is for who asked. This takes no time and
    // leaves nothing, but only if it comes to its end.
    let _leads_one_already = rustix::process::setsid();
    let request: Request = serde_json::from_str(request)?;
    if let Some(namespace) = request.namespace.clone() {
        user_namespace::adopt(namespace);
    }
    let facts = serde_json::to_vec(&try_everything(&request))?;
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&facts).and_then(|()| stdout.flush()) {
        // Whoever asked and is gone needs no answer.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
