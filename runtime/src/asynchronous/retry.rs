//! What happens next to an event. Pure: the clock is an argument.

use std::time::{Duration, Instant};

use super::EventInvokeConfig;

/// How long retries wait. Lambda's pace by default; all waits keep their
/// proportions when it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    first_retry: Duration,
}

/// No wait is shorter, so that a refused event cannot keep the service busy.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

impl Pace {
    /// With this wait before the first retry of a function error (Lambda: 1 minute).
    pub const fn new(first_retry: Duration) -> Self {
        Self { first_retry }
    }

    /// Before retry `number` of a function error: 1 minute, then 2.
    fn function_error(self, number: u32) -> Duration {
        self.first_retry.saturating_mul(number).max(SHORTEST_WAIT)
    }

    /// After the `number`th refusal in a row: from 1 s, twice as long each time, to
    /// 5 minutes.
    fn refusal(self, number: u32) -> Duration {
        let first = self.first_retry / 60;
        let longest = self.first_retry.saturating_mul(5);
        let factor = 1_u32.checked_shl(number.saturating_sub(1));
        let wait = first.saturating_mul(factor.unwrap_or(u32::MAX));
        wait.min(longest).max(SHORTEST_WAIT)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The function answered.
    Succeeded,
    /// The function failed, in any way.
    FunctionError,
    /// It was not run: too many invocations at once, or a fault of the service.
    Refused,
    /// It was not run, and never will be: its reserved concurrency is zero.
    Disabled,
}

/// Why an event has come to its end: `condition` of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
    ZeroReservedConcurrency,
}

impl Condition {
    /// Lambda's word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
        }
    }
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask again after this long, see [`Progress::is_too_old`].
    Wait(Duration),
    /// It is over.
    End(Condition),
}

/// How far an event has come.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    received: Instant,
    runs: u32,
    refusals_in_a_row: u32,
}

impl Progress {
    /// An event that was accepted at `received`.
    pub(super) fn new(received: Instant) -> Self {
        Self {
            received,
            runs: 0,
            refusals_in_a_row: 0,
        }
    }

    /// One that an earlier service has begun with.
    pub(super) fn resumed(received: Instant, runs: u32) -> Self {
        Self {
            runs,
            ..Self::new(received)
        }
    }

    /// How often the function ran: `approximateInvokeCount`.
    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// How long the event has been waiting.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.received)
    }

    /// Whether it must not be tried any more.
    pub(super) fn is_too_old(&self, config: &EventInvokeConfig, now: Instant) -> bool {
        self.age(now) >= config.maximum_event_age.duration()
    }

    /// Takes note of an attempt that ended at `now`. No wait lasts beyond the
    /// event's maximum age: at that time it ends.
    pub(super) fn after(
        &mut self,
        attempt: Attempt,
        config: &EventInvokeConfig,
        pace: Pace,
        now: Instant,
    ) -> Next {
        let wait = match attempt {
            Attempt::Succeeded => {
                self.runs += 1;
                return Next::End(Condition::Success);
            }
            Attempt::Disabled => return Next::End(Condition::ZeroReservedConcurrency),
            Attempt::FunctionError => {
                self.runs += 1;
                self.refusals_in_a_row = 0;
                if self.runs > config.maximum_retry_attempts.get() {
                    return Next::End(Condition::RetriesExhausted);
                }
                pace.function_error(self.runs)
            }
            Attempt::Refused => {
                self.refusals_in_a_row += 1;
                pace.refusal(self.refusals_in_a_row)
            }
        };
        let left = config
            .maximum_event_age
            .duration()
            .saturating_sub(self.age(now));
        Next::Wait(wait.min(left))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(retries: u32, age: u32) -> EventInvokeConfig {
        EventInvokeConfig {
            maximum_retry_attempts: retries.to_string().parse().unwrap(),
            maximum_event_age: age.to_string().parse().unwrap(),
            ..EventInvokeConfig::default()
        }
    }

    const fn seconds(seconds: u64) -> Next {
        Next::Wait(Duration::from_secs(seconds))
    }

    /// What follows attempts that take no time, each as soon as it may be.
    fn run(config: &EventInvokeConfig, pace: Pace, attempts: &[Attempt]) -> (Vec<Next>, u32) {
        let mut now = Instant::now();
        let mut progress = Progress::new(now);
        let mut nexts = vec![];
        for attempt in attempts {
            let next = if progress.is_too_old(config, now) {
                Next::End(Condition::EventAgeExceeded)
            } else {
                progress.after(*attempt, config, pace, now)
            };
            nexts.push(next);
            match next {
                Next::Wait(wait) => now += wait,
                Next::End(_) => break,
            }
        }
        (nexts, progress.runs())
    }

    #[test]
    fn events_go_lambdas_way() {
        use Attempt::{Disabled, FunctionError, Refused, Succeeded};
        use Condition::{EventAgeExceeded, RetriesExhausted, Success, ZeroReservedConcurrency};
        let lambda = Pace::default();
        for (config, attempts, nexts, runs) in [
            (
                config(2, 21_600),
                vec![Succeeded],
                vec![Next::End(Success)],
                1,
            ),
            (
                config(2, 21_600),
                vec![FunctionError; 3],
                vec![seconds(60), seconds(120), Next::End(RetriesExhausted)],
                3,
            ),
            (
                config(0, 21_600),
                vec![FunctionError],
                vec![Next::End(RetriesExhausted)],
                1,
            ),
            (
                config(1, 21_600),
                vec![FunctionError, Succeeded],
                vec![seconds(60), Next::End(Success)],
                2,
            ),
            (
                config(2, 21_600),
                vec![Disabled],
                vec![Next::End(ZeroReservedConcurrency)],
                0,
            ),
            // Refusals do not use up retries, and begin anew after a run.
            (
                config(1, 21_600),
                vec![
                    Refused,
                    Refused,
                    Refused,
                    FunctionError,
                    Refused,
                    FunctionError,
                ],
                vec![
                    seconds(1),
                    seconds(2),
                    seconds(4),
                    seconds(60),
                    seconds(1),
                    Next::End(RetriesExhausted),
                ],
                2,
            ),
            // The wait ends with the event's age.
            (
                config(2, 90),
                vec![FunctionError; 3],
                vec![seconds(60), seconds(30), Next::End(EventAgeExceeded)],
                2,
            ),
            (
                config(2, 60),
                vec![Refused; 7],
                vec![
                    seconds(1),
                    seconds(2),
                    seconds(4),
                    seconds(8),
                    seconds(16),
                    seconds(29),
                    Next::End(EventAgeExceeded),
                ],
                0,
            ),
        ] {
            assert_eq!(
                run(&config, lambda, &attempts),
                (nexts, runs),
                "{config:?} {attempts:?}"
            );
        }
    }

    #[test]
    fn a_pace_keeps_the_proportions() {
        let fast = Pace::new(Duration::from_secs(6));
        assert_eq!(fast.function_error(1), Duration::from_secs(6));
        assert_eq!(fast.function_error(2), Duration::from_secs(12));
        assert_eq!(fast.refusal(1), Duration::from_millis(100));
        assert_eq!(fast.refusal(40), Duration::from_secs(30));
        assert_eq!(Pace::new(Duration::ZERO).refusal(1), SHORTEST_WAIT);
    }

    fn attempt() -> impl Strategy<Value = Attempt> {
        prop_oneof![
            Just(Attempt::Succeeded),
            Just(Attempt::FunctionError),
            Just(Attempt::Refused),
        ]
    }

    proptest! {
        /// Whatever happens: no more runs than allowed, no wait beyond the age, and
        /// every event ends.
        #[test]
        fn every_event_ends_in_time(
            retries in 0_u32..=2,
            age in 60_u32..=21_600,
            // Shorter ones only take more turns.
            first_ms in 600_u64..200_000,
            attempts in prop::collection::vec(attempt(), 0..40),
        ) {
            let config = config(retries, age);
            let pace = Pace::new(Duration::from_millis(first_ms));
            let start = Instant::now();
            let mut now = start;
            let mut progress = Progress::new(start);
            let mut attempts = attempts.into_iter().chain(std::iter::repeat(Attempt::Refused));
            let mut ended = None;
            for _ in 0..10_000 {
                if progress.is_too_old(&config, now) {
                    ended = Some(Condition::EventAgeExceeded);
                    break;
                }
                let attempt = attempts.next().unwrap();
                match progress.after(attempt, &config, pace, now) {
                    Next::Wait(wait) => {
                        prop_assert!(wait > Duration::ZERO);
                        now += wait;
                        prop_assert!(now - start <= config.maximum_event_age.duration());
                    }
                    Next::End(condition) => {
                        ended = Some(condition);
                        break;
                    }
                }
                prop_assert!(progress.runs() <= retries);
            }
            prop_assert!(ended.is_some());
            prop_assert!(progress.runs() <= retries + 1);
            if ended == Some(Condition::RetriesExhausted) {
                prop_assert_eq!(progress.runs(), retries + 1);
            }
        }
    }
}
