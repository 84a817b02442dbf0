//! Events of environments, as log lines on standard error.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::args::OutputFormat;
use crate::telemetry::{Occurrence, Sink, json_notice};

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
    /// As each function's log is.
    pub(super) fn new() -> Self {
        Self::with_format(OutputFormat::Text)
    }

    /// As each function's log is, or all of it as JSON.
    pub(super) fn with_format(format: OutputFormat) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        // Ends with the process.
        std::thread::spawn(move || write(&thread));
        Self { shared, format }
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
        match self.format {
            OutputFormat::Text => self.write(occurrence.log_lines()),
            OutputFormat::Json => self.write(&occurrence.json_log_lines()),
        }
    }

    fn notice(&self, message: &str) {
        self.say(message);
    }

    fn has_room(&self) -> bool {
        self.shared.lock().bytes.len() < ROOM
    }
}

/// Prints nothing; the log is in each result.
#[derive(Debug)]
pub(super) struct Quiet;

impl Sink for Quiet {
    fn emit(&self, _occurrence: &Occurrence<'_>) {}
}
