//! Events of environments, as log lines on standard error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::args::OutputFormat;
use crate::functions::Functions;
use crate::model::FunctionName;
use crate::telemetry::{Occurrence, Sink, json_notice, whole_lines};

/// Bytes that may wait for a slow reader before the function has to.
const ROOM: usize = 1024 * 1024;

/// How often a waiting command looks whether all has been written.
const POLL: Duration = Duration::from_micros(200);

/// How long the thread lets more come together when it has just written: to wake it for
/// each line of a busy service costs as much as to answer a request.
const GATHERING: Duration = Duration::from_millis(2);

/// Prints what Lambda would log, through a thread of its own: standard error may
/// be a pipe that nobody reads.
#[derive(Debug)]
pub(super) struct StandardError {
    shared: Arc<Shared>,
    format: OutputFormat,
    /// Of a service, whose functions' lines come together here.
    functions: Option<Arc<Functions>>,
    /// There are or were several: lines do not lose their names when one goes.
    are_several: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// What the thread does.
    thread: Thread,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Thread {
    /// Nothing, until it is woken.
    #[default]
    Asleep,
    /// It has written or is being woken, and will look again by itself.
    Gathering,
    /// It has taken bytes and is writing them.
    Writing,
}

impl Waiting {
    fn is_idle(&self) -> bool {
        self.bytes.is_empty() && self.thread != Thread::Writing
    }
}

impl Shared {
    /// The state; a thread that panicked while it held it has left it whole.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandardError {
    /// The log of one function, in its own form.
    pub(super) fn new() -> Self {
        Self::with(OutputFormat::Text, None)
    }

    /// The log of all functions of a service: of each in its own form, and with its name
    /// if there are several, or all of it as JSON.
    pub(super) fn of_service(format: OutputFormat, functions: &Arc<Functions>) -> Self {
        Self::with(format, Some(Arc::clone(functions)))
    }

    fn with(format: OutputFormat, functions: Option<Arc<Functions>>) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        // Ends with the process.
        std::thread::spawn(move || write(&thread));
        Self {
            shared,
            format,
            functions,
            are_several: AtomicBool::new(false),
        }
    }

    fn are_several(&self) -> bool {
        let functions = self.functions.as_ref();
        let known = self.are_several.load(Ordering::Relaxed);
        let several = known || functions.is_some_and(|all| all.are_several());
        self.are_several.store(several, Ordering::Relaxed);
        several
    }

    /// A sentence in the program's name, in its place among the log lines.
    pub(super) fn say(&self, message: &str) {
        let line = match self.format {
            OutputFormat::Text => format!("lambent: {message}\n"),
            OutputFormat::Json => json_notice(SystemTime::now(), message),
        };
        self.write(line.as_bytes());
    }

    fn write(&self, bytes: &[u8]) {
        let mut waiting = self.shared.lock();
        let asleep = waiting.thread == Thread::Asleep;
        if asleep {
            // Others need not wake it too, until it is up.
            waiting.thread = Thread::Gathering;
        }
        waiting.bytes.extend_from_slice(bytes);
        drop(waiting);
        if asleep {
            self.shared.more.notify_one();
        }
    }

    /// Waits until everything so far has been written.
    pub(super) async fn drained(&self) {
        loop {
            if self.shared.lock().is_idle() {
                return;
            }
            self.shared.more.notify_one();
            tokio::time::sleep(POLL).await;
        }
    }
}

fn write(shared: &Shared) -> ! {
    let mut waiting = shared.lock();
    loop {
        while waiting.bytes.is_empty() {
            waiting.thread = Thread::Asleep;
            waiting = shared
                .more
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.thread = Thread::Writing;
        let bytes = std::mem::take(&mut waiting.bytes);
        drop(waiting);
        super::output::log(&bytes);
        waiting = shared.lock();
        waiting.thread = Thread::Gathering;
        waiting = shared
            .more
            .wait_timeout(waiting, GATHERING)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

impl Sink for StandardError {
    fn emit(&self, occurrence: &Occurrence<'_>) {
        let function = occurrence.function();
        match self.format {
            OutputFormat::Json => {
                self.write(&with_member(&occurrence.json_log_lines(), function));
            }
            OutputFormat::Text if self.are_several() => {
                self.write(&with_prefix(occurrence.log_lines(), function));
            }
            OutputFormat::Text => self.write(occurrence.log_lines()),
        }
    }

    fn notice(&self, message: &str) {
        self.say(message);
    }

    fn has_room(&self) -> bool {
        self.shared.lock().bytes.len() < ROOM
    }
}

/// Lines of text with the name of their function in front of each.
fn with_prefix(lines: &[u8], function: &FunctionName) -> Vec<u8> {
    let prefix = format!("{function} | ");
    let mut named = Vec::with_capacity(lines.len() + prefix.len());
    for line in whole_lines(lines) {
        named.extend_from_slice(prefix.as_bytes());
        named.extend_from_slice(line);
    }
    named
}

/// Objects, a line each, with the name of their function as their first member.
fn with_member(lines: &[u8], function: &FunctionName) -> Vec<u8> {
    let member = format!("{{\"functionName\":\"{function}\",");
    let mut named = Vec::with_capacity(lines.len() + member.len());
    for line in whole_lines(lines) {
        let members = line.strip_prefix(b"{");
        if members.is_some() {
            named.extend_from_slice(member.as_bytes());
        }
        named.extend_from_slice(members.unwrap_or(line));
    }
    named
}

/// Prints nothing; the log is in each result.
#[derive(Debug)]
pub(super) struct Quiet;

impl Sink for Quiet {
    fn emit(&self, _occurrence: &Occurrence<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_name_of_its_function() {
        let function: FunctionName = "my-f".parse().unwrap();
        for (lines, text, json) in [
            ("", "", ""),
            ("hello\n", "my-f | hello\n", "hello\n"),
            (
                "END RequestId: 1\nREPORT RequestId: 1\t\n",
                "my-f | END RequestId: 1\nmy-f | REPORT RequestId: 1\t\n",
                "END RequestId: 1\nREPORT RequestId: 1\t\n",
            ),
            ("\n", "my-f | \n", "\n"),
            (
                "{\"time\":1}\n{\"time\":2}\n",
                "my-f | {\"time\":1}\nmy-f | {\"time\":2}\n",
                "{\"functionName\":\"my-f\",\"time\":1}\n{\"functionName\":\"my-f\",\"time\":2}\n",
            ),
        ] {
            let shown = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            assert_eq!(shown(with_prefix(lines.as_bytes(), &function)), text);
            assert_eq!(shown(with_member(lines.as_bytes(), &function)), json);
        }
    }
}
