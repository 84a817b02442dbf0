//! What a running service has seen: the last log lines of each function, and its
//! numbers. Filled by the sinks of environments, read by `lambent ps`, `lambent
//! logs` and `/metrics`.

mod counters;
mod histogram;
mod history;
mod prometheus;
mod rings;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

pub use self::counters::{Counters, Numbers};
pub use self::histogram::Histogram;
pub use self::history::{Follower, History};
pub use self::prometheus::{Environments, FunctionMetrics, Spans, metrics};
pub use self::rings::{Batch, LogLine};
use crate::model::FunctionName;
use crate::telemetry::{Occurrence, Sink, whole_lines};

/// All that a service has seen.
#[derive(Debug, Default)]
pub struct Observer {
    counters: RwLock<BTreeMap<FunctionName, Arc<Counters>>>,
    history: Arc<History>,
}

impl Observer {
    /// The counters of a function, from zero if it is new.
    pub fn function(&self, name: &FunctionName) -> Arc<Counters> {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counters.get(name) {
            return Arc::clone(known);
        }
        drop(counters);
        let mut counters = self
            .counters
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry(name.clone()).or_default())
    }

    /// The counters of all functions.
    pub fn functions(&self) -> Vec<(FunctionName, Arc<Counters>)> {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        counters
            .iter()
            .map(|(name, counters)| (name.clone(), Arc::clone(counters)))
            .collect()
    }

    /// The last log lines.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// A sink for a function's environments that sees everything and passes it on.
    pub fn sink(&self, name: &FunctionName, next: Arc<dyn Sink>) -> Arc<dyn Sink> {
        self.history.open(name);
        Arc::new(Watching {
            counters: self.function(name),
            history: Arc::clone(&self.history),
            next,
        })
    }
}

#[derive(Debug)]
struct Watching {
    counters: Arc<Counters>,
    history: Arc<History>,
    next: Arc<dyn Sink>,
}

impl Sink for Watching {
    fn emit(&self, occurrence: &Occurrence<'_>) {
        self.counters.count(occurrence.event());
        let lines = occurrence.log_lines();
        for line in whole_lines(lines) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.history
                .push(occurrence.function(), occurrence.at(), line);
        }
        self.next.emit(occurrence);
    }

    fn notice(&self, message: &str) {
        self.next.notice(message);
    }

    /// The history overwrites its oldest lines and is never full.
    fn has_room(&self) -> bool {
        self.next.has_room()
    }
}
