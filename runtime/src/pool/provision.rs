//! Provisioned concurrency: environments that are initialised ahead of invocations,
//! kept, and replaced when they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::SlotId;
use super::{FunctionVersion, Life, Pools, State, Throttle};
use crate::environment::InitFailure;
use crate::model::InitializationType;
use crate::service::FunctionEnvironment;

/// Environments that are initialised at a time, each with a full CPU.
const STARTS_AT_ONCE: usize = 8;

/// The longest wait after a failure. The first is a second, each other one twice
/// that before it.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How often it is looked for room where there was none: that costs nothing.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// Lambda's word for a function that does not get through its INIT.
const INIT_FAILURE: &str = "FUNCTION_ERROR_INIT_FAILURE";

/// The provisioned environments of a version at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// How many are initialised.
    pub ready: usize,
    /// Why there are not as many as were asked for, if the last attempt failed.
    pub problem: Option<String>,
}

/// A wish for provisioned environments.
#[derive(Debug)]
pub(super) struct Provision {
    version: Arc<FunctionVersion>,
    target: usize,
    attempts: Attempts,
}

/// What became of the last attempts to initialise an environment. Pure.
#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
    problem: Option<String>,
}

impl Attempts {
    fn may_begin(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|earliest| now >= earliest)
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, now: Instant, reason: impl Into<String>) {
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        let wait = Duration::from_secs(seconds).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
        self.problem = Some(reason.into());
    }

    /// There was no room to begin.
    fn postponed(&mut self, now: Instant, reason: String) {
        self.not_before = Some(now + ROOM_INTERVAL);
        self.problem = Some(reason);
    }
}

impl Pools {
    /// Keeps so many environments of a version initialised from now on.
    pub(crate) fn provision(self: &Arc<Self>, version: &Arc<FunctionVersion>, target: usize) {
        let key = version.key();
        let mut state = self.lock();
        if state.closed || state.target(&key) == target {
            return;
        }
        let needs = state.needs(version);
        let surplus = state.book.set_target(&key, needs, target);
        let ended = state.take(&surplus);
        if target == 0 {
            state.provisions.remove(&key);
        } else {
            let provision = Provision {
                version: Arc::clone(version),
                target,
                attempts: Attempts::default(),
            };
            state.provisions.insert(key, provision);
        }
        drop(state);
        // Dropping a handle ends its environment in the background.
        drop(ended);
        self.replenish();
    }

    /// The provisioned environments of a version.
    pub(crate) fn provisioned(&self, version: &FunctionVersion) -> Provisioned {
        let state = self.lock();
        let key = version.key();
        Provisioned {
            ready: state.book.of(&key).ready(),
            problem: state
                .provisions
                .get(&key)
                .and_then(|provision| provision.attempts.problem.clone()),
        }
    }

    /// Begins to initialise what is missing.
    pub(super) fn replenish(self: &Arc<Self>) {
        let now = Instant::now();
        let mut state = self.lock();
        let mut ended = vec![];
        let mut begun = vec![];
        let keys: Vec<_> = state.provisions.keys().cloned().collect();
        for key in keys {
            while state.starting() < STARTS_AT_ONCE
                && let Some(provision) = state.provisions.get(&key)
                && provision.attempts.may_begin(now)
            {
                let version = Arc::clone(&provision.version);
                let needs = state.needs(&version);
                match state.book.provision(&key, needs) {
                    Ok(None) => break,
                    Ok(Some((slot, evicted))) => {
                        ended.extend(state.take(&evicted));
                        let life = Arc::new(self.life(&version));
                        state.keep_life(slot, &life);
                        begun.push((version, slot, life));
                    }
                    Err(throttle) => {
                        if let Some(provision) = state.provisions.get_mut(&key) {
                            let reason = no_room(throttle);
                            provision.attempts.postponed(now, reason);
                        }
                    }
                }
            }
        }
        drop(state);
        drop(ended);
        for (version, slot, life) in begun {
            tokio::spawn(Arc::clone(self).initialise(version, slot, life));
        }
    }

    async fn initialise(
        self: Arc<Self>,
        version: Arc<FunctionVersion>,
        slot: SlotId,
        life: Arc<Life>,
    ) {
        let made = self.service.environment(
            Arc::clone(&version.code),
            version.configuration.clone(),
            InitializationType::ProvisionedConcurrency,
            life,
        );
        let result = match made {
            Ok(made) => match made.environment.initialise().await {
                Ok(()) => Ok(made),
                Err(InitFailure::Function(_)) => Err(INIT_FAILURE.to_owned()),
                Err(InitFailure::Host(reason)) => Err(reason),
            },
            Err(error) => Err(error.to_string()),
        };
        self.initialised(&version, slot, result);
        self.replenish();
    }

    fn initialised(
        &self,
        version: &FunctionVersion,
        slot: SlotId,
        result: Result<FunctionEnvironment, String>,
    ) {
        let now = Instant::now();
        let key = version.key();
        let mut state = self.lock();
        let keep = result.is_ok() && !state.closed;
        let kept = state.book.release(&key, slot, now, keep);
        if let Some(provision) = state.provisions.get_mut(&key) {
            match &result {
                Ok(_) => provision.attempts.succeeded(),
                Err(reason) => provision.attempts.failed(now, reason.as_str()),
            }
        }
        if let (true, Ok(environment)) = (kept, result) {
            state.idle.insert(slot, environment);
        }
    }
}

/// Why an environment that is asked for cannot be made now.
fn no_room(throttle: Throttle) -> String {
    match throttle {
        Throttle::Reserved => {
            "the function's reserved concurrency is in use: it is tried again".to_owned()
        }
        Throttle::Account => {
            "this host has no room for another environment: it is tried again".to_owned()
        }
    }
}

impl State {
    fn target(&self, key: &super::Key) -> usize {
        let provision = self.provisions.get(key);
        provision.map_or(0, |provision| provision.target)
    }

    /// Provisioned environments that are being initialised.
    fn starting(&self) -> usize {
        self.book.counts().map(|(_, counts)| counts.starting).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_ever_later() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        assert!(attempts.may_begin(start));
        let after = |seconds| start + Duration::from_secs(seconds);
        for (failure, seconds) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (100, 300)] {
            while attempts.failures < failure {
                attempts.failed(start, "no");
            }
            assert!(!attempts.may_begin(after(seconds - 1)), "{failure}");
            assert!(attempts.may_begin(after(seconds)), "{failure}");
        }
        assert_eq!(attempts.problem.as_deref(), Some("no"));
        // Room may be there at any time.
        attempts.postponed(start, "no room".to_owned());
        assert!(!attempts.may_begin(start) && attempts.may_begin(after(1)));
        attempts.succeeded();
        assert!(attempts.may_begin(start) && attempts.problem.is_none());
    }
}
