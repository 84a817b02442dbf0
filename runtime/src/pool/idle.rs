//! What becomes of environments with nothing to do: they grow too old, or die.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::Pools;

/// How often the pool looks for environments that have been idle for too long.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// Looks after idle environments for as long as there are pools: again and again, and
/// at once when one dies.
pub(super) async fn watch(pools: Weak<Pools>) {
    let Some(deaths) = pools.upgrade().map(|pools| pools.service.deaths()) else {
        return;
    };
    loop {
        // An interval without a death is no error.
        let _ = tokio::time::timeout(EXPIRY_INTERVAL, deaths.notified()).await;
        let Some(pools) = pools.upgrade() else { return };
        pools.bury();
        pools.expire();
        pools.replenish();
    }
}

impl Pools {
    /// Ends the environments that have died with nothing to do.
    fn bury(&self) {
        let mut state = self.lock();
        let dead: Vec<_> = state
            .book
            .slots()
            .filter(|(_, slot, ..)| {
                let idle = state.idle.get(slot);
                idle.is_some_and(|idle| idle.environment.is_dead())
            })
            .map(|(key, slot, ..)| (key.clone(), slot))
            .collect();
        let now = Instant::now();
        for (key, slot) in &dead {
            state.book.release(key, *slot, now, false);
        }
        let slots: Vec<_> = dead.into_iter().map(|(_, slot)| slot).collect();
        let ended = state.take(&slots);
        drop(state);
        // Dropping a handle ends its environment in the background.
        drop(ended);
    }

    fn expire(&self) {
        let mut state = self.lock();
        let slots = state.book.expire(Instant::now(), self.settings.idle_limit);
        let ended = state.take(&slots);
        drop(state);
        drop(ended);
    }
}
