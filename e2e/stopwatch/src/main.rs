//! Says when its first instruction ran, by the clock that all processes of a host share.
//!
//! | started | does |
//! |---|---|
//! | by Lambda (`AWS_LAMBDA_RUNTIME_API`) | answers each invocation with `{"atNs": …, "count": …}` |
//! | without arguments | prints the nanoseconds and ends |
//! | `wait` | prints them and stays |
//! | `floor ROOT` | starts itself in a sandbox of its own: see [`floor`] |
//!
//! Nothing comes before the clock but the start of the program itself: it is static and
//! has no asynchronous runtime.

mod floor;
mod runtime;
mod sys;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let at_ns = now_ns();
    match run(at_ns) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "stopwatch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(at_ns: i64) -> io::Result<()> {
    let mut words = env::args_os().skip(1);
    match words.next() {
        None => {
            if let Ok(api) = env::var("AWS_LAMBDA_RUNTIME_API") {
                return runtime::serve(&api, at_ns);
            }
            say(at_ns)
        }
        Some(word) if word == "wait" => {
            say(at_ns)?;
            loop {
                std::thread::park();
            }
        }
        Some(word) if word == "floor" => {
            let root = words.next().ok_or_else(|| io::Error::other("floor ROOT"))?;
            floor::run(root.as_ref())
        }
        Some(word) => Err(io::Error::other(format!("{}?", word.display()))),
    }
}

/// Nanoseconds of the clock that no namespace but that of time changes.
fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn say(at_ns: i64) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{at_ns}")?;
    out.flush()
}
