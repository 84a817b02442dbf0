//! What one environment has done, told by its own events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::FunctionVersion;
use crate::model::{FunctionName, MemorySize};
use crate::otlp::Recorder;
use crate::telemetry::{Event, Occurrence, Sink};

/// An environment at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentStatus {
    /// No other environment of the service ever has the same.
    pub id: u64,
    /// Its function.
    pub function: FunctionName,
    /// `$LATEST` or a number.
    pub version: String,
    /// Configured memory.
    pub memory_size: MemorySize,
    /// When it was made.
    pub created: SystemTime,
    /// What it does.
    pub activity: Activity,
    /// Whether it is kept by provisioned concurrency.
    pub provisioned: bool,
    /// Invocations that have ended.
    pub invocations: u64,
    /// Highest memory use in bytes, as of the last invocation that ended.
    pub max_memory_used: u64,
    /// Bytes in `/tmp`, as of the last invocation that ended.
    pub tmp_used: u64,
}

/// What an environment does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Its INIT, ahead of invocations.
    Initialising,
    /// An invocation.
    Busy,
    /// Nothing, for so long.
    Idle(Duration),
}

/// The sink of one environment: takes note, and passes on to the function's.
#[derive(Debug)]
pub(super) struct Life {
    function: FunctionName,
    version: String,
    memory_size: MemorySize,
    next: Arc<dyn Sink>,
    /// Makes the spans of its invocations, if they are recorded.
    recorder: Option<Recorder>,
    done: Mutex<Done>,
}

#[derive(Debug)]
struct Done {
    begun: SystemTime,
    invocations: u64,
    max_memory_used: u64,
    tmp_used: u64,
}

impl Life {
    pub(super) fn new(version: &FunctionVersion, recorder: Option<Recorder>) -> Self {
        Self {
            function: version.configuration.function_name.clone(),
            version: version.version.clone(),
            memory_size: version.configuration.memory_size,
            next: Arc::clone(&version.sink),
            recorder,
            done: Mutex::new(Done {
                begun: SystemTime::now(),
                invocations: 0,
                max_memory_used: 0,
                tmp_used: 0,
            }),
        }
    }

    /// It begins now: what stood by gets its first invocation.
    pub(super) fn begin(&self) {
        self.done().begun = SystemTime::now();
    }

    /// It is gone, and with it what it was working on.
    pub(super) fn lost(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.lost();
        }
    }

    /// What it has done; who panicked while holding it left it whole.
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(
        &self,
        id: u64,
        activity: Activity,
        provisioned: bool,
    ) -> EnvironmentStatus {
        let done = self.done();
        EnvironmentStatus {
            id,
            function: self.function.clone(),
            version: self.version.clone(),
            memory_size: self.memory_size,
            created: done.begun,
            activity,
            provisioned,
            invocations: done.invocations,
            max_memory_used: done.max_memory_used,
            tmp_used: done.tmp_used,
        }
    }
}

impl Sink for Life {
    fn emit(&self, occurrence: &Occurrence<'_>) {
        if let Event::Report { report, .. } = occurrence.event() {
            let mut done = self.done();
            done.invocations += 1;
            done.max_memory_used = report.max_memory_used;
            done.tmp_used = report.tmp_used;
        }
        if let Some(recorder) = &self.recorder {
            recorder.record(occurrence.event());
        }
        self.next.emit(occurrence);
    }

    fn notice(&self, message: &str) {
        self.next.notice(message);
    }

    fn has_room(&self) -> bool {
        self.next.has_room()
    }
}
