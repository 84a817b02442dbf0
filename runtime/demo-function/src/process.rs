//! What a process may do to itself: print, multiply, end.

use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::{Arc, RwLock};
use std::thread;

/// Enough for a thread that only waits, and no strain on the memory limit.
const STACK_BYTES: usize = 64 * 1024;

/// Ends the process with an exit status.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "leaving from inside the handler is what is asked for"
)]
pub(crate) fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// Aborts the process.
///
/// Ends as SIGABRT, or as SIGSEGV where the process is the first of its
/// process namespace: the kernel spares that one the signals that it sends to
/// itself, and libc then falls back to an instruction that faults.
pub(crate) fn crash() -> ! {
    std::process::abort()
}

/// Prints lines to stdout or stderr.
pub(crate) fn log(lines: &[String], to_stderr: bool) -> Value {
    let mut text = lines.join("\n");
    text.push('\n');
    let result = if lines.is_empty() {
        Ok(())
    } else if to_stderr {
        io::stderr().write_all(text.as_bytes())
    } else {
        let mut stdout = io::stdout();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
    };
    json!({ "lines": if result.is_ok() { lines.len() } else { 0 } })
}

/// Runs up to `count` threads at a time; they all end before this returns.
pub(crate) fn fork(count: u32) -> Value {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    let mut threads = Vec::new();
    let mut errno = None;
    for _ in 0..count {
        let waiting = Arc::clone(&gate);
        match thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || drop(waiting.read()))
        {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                errno = error.raw_os_error();
                break;
            }
        }
    }
    drop(closed);
    let started = threads.len();
    for thread in threads {
        // A thread that panicked has ended too.
        let _ended = thread.join();
    }
    json!({ "started": started, "errno": errno, "kind": "thread" })
}
