//! Where the time of an invocation goes, as Lambda divides it. Pure.

use std::time::{Instant, SystemTime};

use crate::telemetry::{Span, SpanName};

/// A moment on both clocks: the one that durations are measured on, and the wall's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    instant: Instant,
    time: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            time: SystemTime::now(),
        }
    }

    fn until(self, end: Self, name: SpanName) -> Span {
        Span {
            name,
            start: self.time,
            duration: end.instant.saturating_duration_since(self.instant),
        }
    }
}

/// The moments of an invocation, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// The runtime got the event.
    pub(super) handed_out: Option<Moment>,
    /// It began to answer.
    pub(super) answering: Option<Moment>,
    /// Its answer was complete.
    pub(super) answered: Option<Moment>,
    /// It was done.
    pub(super) runtime_done: Option<Moment>,
}

impl Timing {
    /// The spans of `platform.runtimeDone`: as many as there were.
    pub(super) fn of_runtime(&self) -> Vec<Span> {
        let parts = [
            (self.handed_out, self.answering, SpanName::ResponseLatency),
            (self.answering, self.answered, SpanName::ResponseDuration),
            (self.answered, self.runtime_done, SpanName::RuntimeOverhead),
        ];
        parts
            .into_iter()
            .filter_map(|(start, end, name)| Some(start?.until(end?, name)))
            .collect()
    }

    /// The spans of `platform.report`, which ends at `end`.
    pub(super) fn of_extensions(&self, end: Moment) -> Vec<Span> {
        let done = self.runtime_done;
        done.map(|done| done.until(end, SpanName::ExtensionOverhead))
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spans_are_as_many_as_there_were() {
        let begin = Moment::now();
        let at = |ms: u64| Moment {
            instant: begin.instant + Duration::from_millis(ms),
            time: begin.time + Duration::from_millis(ms),
        };
        let mut timing = Timing::default();
        assert!(timing.of_runtime().is_empty());
        assert!(timing.of_extensions(at(9)).is_empty());
        timing.handed_out = Some(at(1));
        assert!(timing.of_runtime().is_empty());
        timing.answering = Some(at(3));
        timing.answered = Some(at(6));
        timing.runtime_done = Some(at(10));
        let span = |name, start: u64, length: u64| Span {
            name,
            start: at(start).time,
            duration: Duration::from_millis(length),
        };
        assert_eq!(
            timing.of_runtime(),
            [
                span(SpanName::ResponseLatency, 1, 2),
                span(SpanName::ResponseDuration, 3, 3),
                span(SpanName::RuntimeOverhead, 6, 4),
            ]
        );
        assert_eq!(
            timing.of_extensions(at(15)),
            [span(SpanName::ExtensionOverhead, 10, 5)]
        );
    }
}
