//! Looks after a machine until it ends, or stands still.
//!
//! A machine that works says something every few seconds, if only a byte of zero that
//! nobody sees (`guest/guest.sh`). One that does not has stopped as a whole: its tests
//! have limits of their own, which work as long as it does.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::monitor::Monitor;
use crate::fixtures::Error;

/// How often the machine is looked after.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often its CPUs are looked at when it stands still, and with which pause: one
/// that spins is seen in more than one place.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// A sign of life.
const BEAT: u8 = 0;

/// When a machine is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// After its start.
    pub(super) whole: Duration,
    /// After the last it said.
    pub(super) silence: Duration,
}

/// Waits for the end, and makes one when it does not come. What the machine says goes
/// to standard output.
///
/// # Errors
/// A limit passed.
pub(super) fn to_the_end(
    machine: &mut Child,
    console: UnixStream,
    monitor: Monitor,
    limits: Limits,
) -> Result<ExitStatus, Error> {
    let trouble = match listen(machine, console, limits) {
        Ok(status) => return Ok(status),
        Err(trouble) => trouble,
    };
    let reason: Error = match trouble {
        Trouble::Whole => {
            let minutes = limits.whole.as_secs() / 60;
            format!("the machine was not done after {minutes} minutes").into()
        }
        Trouble::Silence => {
            let (seconds, seen) = (limits.silence.as_secs(), look(monitor));
            format!(
                "the machine stands still: what it said last, {seconds} s ago, is above; what its \
                 CPUs do:\n{seen}"
            )
            .into()
        }
        Trouble::Io(error) => error.into(),
    };
    // Its end is what is wanted, whether it has come by now or not.
    let _ = machine.kill();
    machine.wait()?;
    Err(reason)
}

/// Why a machine is given up.
#[derive(Debug)]
enum Trouble {
    Whole,
    Silence,
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn listen(
    machine: &mut Child,
    mut console: UnixStream,
    limits: Limits,
) -> Result<ExitStatus, Trouble> {
    let started = Instant::now();
    let mut heard = started;
    let mut buffer = [0; 4096];
    console.set_read_timeout(Some(INTERVAL))?;
    loop {
        // Before reading: what it said before its end is still to come.
        let ended = machine.try_wait()?;
        let quiet = match console.read(&mut buffer) {
            Ok(0) => {
                // It is about to end.
                sleep(INTERVAL);
                true
            }
            Ok(length) => {
                heard = Instant::now();
                let mut output = io::stdout().lock();
                output.write_all(&without_beats(&buffer[..length]))?;
                output.flush()?;
                false
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => true,
                _ => return Err(error.into()),
            },
        };
        if let (Some(status), true) = (ended, quiet) {
            return Ok(status);
        }
        if started.elapsed() >= limits.whole {
            return Err(Trouble::Whole);
        }
        if heard.elapsed() >= limits.silence {
            return Err(Trouble::Silence);
        }
    }
}

fn without_beats(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| *byte != BEAT).collect()
}

/// What the CPUs do, as far as the monitor tells.
fn look(mut monitor: Monitor) -> String {
    let mut text = String::new();
    for _ in 0..LOOKS {
        match monitor.registers() {
            Ok(registers) => text += &registers,
            Err(error) => return format!("{text}they cannot be looked at: {error}"),
        }
        sleep(PAUSE);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const LONG: Duration = Duration::from_secs(1_000);

    /// Watches a program in the place of a machine, whose serial port is its standard
    /// output.
    fn watched(program: &str, limits: Limits) -> Result<ExitStatus, Error> {
        let (console, its_console) = UnixStream::pair().unwrap();
        // Nobody answers at the other end.
        let (monitor, _) = UnixStream::pair().unwrap();
        let mut machine = Command::new("sh")
            .args(["-c", program])
            .stdin(Stdio::null())
            .stdout(std::os::fd::OwnedFd::from(its_console))
            .spawn()
            .unwrap();
        let result = to_the_end(&mut machine, console, Monitor::new(monitor), limits);
        assert!(machine.try_wait().unwrap().is_some());
        result
    }

    #[test]
    fn a_machine_that_ends_is_waited_for() {
        let limits = Limits {
            whole: LONG,
            silence: LONG,
        };
        let status = watched("echo said; exit 3", limits).unwrap();
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_machine_that_does_not_end_is_ended() {
        let limits = Limits {
            whole: Duration::ZERO,
            silence: LONG,
        };
        let error = watched("exec sleep 1000", limits).unwrap_err().to_string();
        assert!(error.contains("not done"), "{error}");
    }

    #[test]
    fn a_machine_that_says_nothing_is_ended_and_looked_at() {
        let limits = Limits {
            whole: LONG,
            silence: Duration::ZERO,
        };
        let error = watched("exec sleep 1000", limits).unwrap_err().to_string();
        assert!(error.contains("stands still"), "{error}");
        assert!(error.contains("cannot be looked at"), "{error}");
    }

    #[test]
    fn signs_of_life_are_not_shown() {
        assert_eq!(without_beats(b"\0vm: \0up\n\0"), b"vm: up\n");
    }
}
