//! What those who keep an environment have to know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::model::Phase;

/// Wakes who buries environments that have died with nothing to do.
pub(crate) type Deaths = Arc<Notify>;

/// What an invocation would find. Written by the environment's actor alone.
#[derive(Debug)]
pub(crate) struct Standing {
    state: AtomicU8,
    deaths: Deaths,
}

/// Nothing is initialised.
const COLD: u8 = 0;
/// It is initialised.
const WARM: u8 = 1;
/// Nothing is initialised, because it has died with nothing to do.
const DEAD: u8 = 2;

impl Standing {
    /// Of a new environment, whose death is told to `deaths`.
    pub(crate) fn new(deaths: &Deaths) -> Self {
        Self {
            state: AtomicU8::new(COLD),
            deaths: Arc::clone(deaths),
        }
    }

    /// Says where it is in its life. What has died stays dead until an invocation
    /// has found it nevertheless.
    pub(super) fn entered(&self, phase: &Phase) {
        let state = match phase {
            phase if phase.is_warm() => WARM,
            Phase::Init(_) => COLD,
            _ if self.is_dead() => DEAD,
            _ => COLD,
        };
        self.state.store(state, Ordering::Relaxed);
    }

    /// Says that it has died with nothing to do.
    pub(super) fn died(&self) {
        self.state.store(DEAD, Ordering::Relaxed);
        self.deaths.notify_one();
    }

    pub(super) fn is_warm(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WARM
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AfterStop, InitKind, StopStep};

    #[test]
    fn the_dead_stay_dead_until_they_are_found() {
        let stopping = Phase::Stopping {
            then: AfterStop::Rest,
            finish: None,
            step: StopStep::Killed,
        };
        let standing = Standing::new(&Deaths::default());
        let seen = |phase: &Phase| {
            standing.entered(phase);
            (standing.is_warm(), standing.is_dead())
        };
        assert_eq!(seen(&Phase::Init(InitKind::OnDemand)), (false, false));
        assert_eq!(seen(&Phase::Idle), (true, false));
        // In an invocation it is not dead, only cold.
        assert_eq!(seen(&stopping), (false, false));
        assert_eq!(seen(&Phase::Down), (false, false));

        assert_eq!(seen(&Phase::Idle), (true, false));
        standing.died();
        assert_eq!(seen(&stopping), (false, true));
        assert_eq!(seen(&Phase::Down), (false, true));
        assert_eq!(seen(&Phase::Init(InitKind::Suppressed)), (false, false));
        assert_eq!(seen(&Phase::Down), (false, false));
    }

    #[tokio::test]
    async fn a_death_is_told_also_to_who_listens_later() {
        let deaths = Deaths::default();
        Standing::new(&deaths).died();
        deaths.notified().await;
    }
}
