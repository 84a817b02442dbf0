//! The numbers of one function, counted from its events.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Histogram;
use crate::telemetry::Event;

/// What was counted since the service started, under Lambda's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// `Invocations`: how often the function ran.
    pub invocations: u64,
    /// `Errors`: how often it failed, in any way.
    pub errors: u64,
    /// `Throttles`: how often it was not run because too many ran already.
    pub throttles: u64,
    /// `Duration`.
    pub duration: Histogram,
    /// `InitDuration`, of cold starts only.
    pub init_duration: Histogram,
    /// `AsyncEventsReceived`.
    pub async_events_received: u64,
    /// `AsyncEventsDropped`: those that ended without a success.
    pub async_events_dropped: u64,
    /// `DestinationDeliveryFailures`.
    pub destination_delivery_failures: u64,
    /// `ProvisionedConcurrencyInvocations`: those that found a provisioned
    /// environment.
    pub provisioned_invocations: u64,
    /// `ProvisionedConcurrencySpilloverInvocations`: those that found none left.
    pub provisioned_spillover: u64,
    /// CPU time of all invocations.
    pub cpu: Duration,
    /// Time in which they wanted CPU and had used their share.
    pub cpu_throttled: Duration,
    /// Highest memory use of any environment, in bytes.
    pub max_memory_used: u64,
    /// Bytes in `/tmp` after the last invocation.
    pub tmp_used: u64,
}

/// Counts.
#[derive(Debug, Default)]
pub struct Counters {
    numbers: Mutex<Numbers>,
}

impl Counters {
    /// What was counted so far.
    pub fn numbers(&self) -> Numbers {
        self.lock().clone()
    }

    /// Counts an event.
    pub(crate) fn count(&self, event: &Event) {
        match event {
            Event::Throttled => self.lock().throttles += 1,
            Event::Report { report, failed, .. } => {
                let mut numbers = self.lock();
                numbers.invocations += 1;
                numbers.errors += u64::from(*failed);
                numbers.duration.observe(report.duration);
                if let Some(init) = report.init_duration {
                    numbers.init_duration.observe(init);
                }
                numbers.cpu += report.cpu_used;
                numbers.cpu_throttled += report.cpu_throttled;
                numbers.max_memory_used = numbers.max_memory_used.max(report.max_memory_used);
                numbers.tmp_used = report.tmp_used;
            }
            Event::InitStart { .. }
            | Event::InitRuntimeDone { .. }
            | Event::InitReport { .. }
            | Event::Start { .. }
            | Event::Extension(_)
            | Event::Function(_)
            | Event::ExtensionLine(_)
            | Event::Subscribed { .. }
            | Event::Fault { .. }
            | Event::Freezer { .. }
            | Event::LogsDropped(_)
            | Event::RuntimeDone { .. } => {}
        }
    }

    pub(crate) fn async_event_received(&self) {
        self.lock().async_events_received += 1;
    }

    pub(crate) fn async_event_dropped(&self) {
        self.lock().async_events_dropped += 1;
    }

    /// An invocation of a version with provisioned concurrency was given one of its
    /// environments, or another one.
    pub(crate) fn provisioned_concurrency_used(&self, provisioned: bool) {
        let mut numbers = self.lock();
        if provisioned {
            numbers.provisioned_invocations += 1;
        } else {
            numbers.provisioned_spillover += 1;
        }
    }

    pub(crate) fn destination_delivery_failed(&self) {
        self.lock().destination_delivery_failures += 1;
    }

    /// Sums are whole whoever panicked.
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{MemorySize, Report, RequestId, Status, TraceId};

    pub(in super::super) fn report(init: Option<u64>, failed: bool) -> Event {
        Event::Report {
            request_id: RequestId::random(),
            report: Report {
                duration: Duration::from_millis(3),
                init_duration: init.map(Duration::from_millis),
                memory_size: MemorySize::MIN,
                max_memory_used: 10,
                cpu_used: Duration::from_millis(2),
                cpu_throttled: Duration::from_millis(1),
                tmp_used: 7,
                status: Status::Success,
            },
            failed,
            spans: vec![],
            trace_id: TraceId::random(),
        }
    }

    #[test]
    fn reports_and_throttles_are_counted() {
        let counters = Counters::default();
        for event in [
            report(Some(20), false),
            report(None, true),
            Event::Throttled,
        ] {
            counters.count(&event);
        }
        let numbers = counters.numbers();
        assert_eq!(
            (numbers.invocations, numbers.errors, numbers.throttles),
            (2, 1, 1)
        );
        assert_eq!(numbers.duration.count(), 2);
        assert_eq!(numbers.init_duration.sum(), Duration::from_millis(20));
        assert_eq!(numbers.cpu, Duration::from_millis(4));
        assert_eq!((numbers.max_memory_used, numbers.tmp_used), (10, 7));
    }
}
