//! Sandboxes that wait for their first process: one for each version that was used
//! last. What a cold start does before INIT is done ahead of it; no code of the
//! function has run, so nothing can tell the difference.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::life::Life;
use super::{FunctionVersion, Key, Pools};
use crate::model::InitializationType;
use crate::service::FunctionEnvironment;

/// Versions that have one at a time. Each costs about a megabyte of the host's memory.
const MOST: usize = 16;

/// An environment that was never initialised.
#[derive(Debug)]
pub(super) struct Standby {
    pub(super) environment: FunctionEnvironment,
    pub(super) life: Arc<Life>,
}

/// What stands by, by version; what was put in last is the last. Pure.
#[derive(Debug)]
pub(super) struct Standbys<T> {
    waiting: VecDeque<(Key, T)>,
}

impl<T> Default for Standbys<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Standbys<T> {
    fn has(&self, key: &Key) -> bool {
        self.waiting.iter().any(|(other, _)| other == key)
    }

    /// Puts in what a version lacks. What has to go for it, or is one too many, comes
    /// back.
    fn put(&mut self, key: Key, standby: T) -> Option<T> {
        if self.has(&key) {
            return Some(standby);
        }
        self.waiting.push_back((key, standby));
        if self.waiting.len() > MOST {
            return self.waiting.pop_front().map(|(_, oldest)| oldest);
        }
        None
    }

    pub(super) fn take(&mut self, key: &Key) -> Option<T> {
        let position = self.waiting.iter().position(|(other, _)| other == key)?;
        self.waiting.remove(position).map(|(_, standby)| standby)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl Pools {
    /// Has a sandbox ready for the next cold start of a version. It counts for no
    /// limit, for no environment has begun.
    pub(super) fn stand_by(&self, version: &FunctionVersion) {
        let key = version.key();
        if version.is_disabled() || self.lock().standbys.has(&key) {
            return;
        }
        let life = Arc::new(self.life(version));
        let made = self.service.environment(
            Arc::clone(&version.code),
            version.configuration.clone(),
            InitializationType::OnDemand,
            Arc::clone(&life) as _,
        );
        // What is wrong is said by the start that matters.
        let Ok(environment) = made else { return };
        environment.environment.prepare();
        let standby = Standby { environment, life };
        let mut state = self.lock();
        let superfluous = if state.closed || version.retired.load(Ordering::Relaxed) {
            Some(standby)
        } else {
            state.standbys.put(key, standby)
        };
        drop(state);
        // Dropping a handle ends its environment in the background.
        drop(superfluous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key {
            function: "f".parse().unwrap(),
            number,
        }
    }

    #[test]
    fn each_version_has_one_and_the_oldest_goes() {
        let mut standbys = Standbys::default();
        assert_eq!(standbys.take(&key(0)), None);
        assert_eq!(standbys.put(key(0), "a"), None);
        assert_eq!(standbys.put(key(0), "b"), Some("b"));
        for number in 1..MOST as u64 {
            assert_eq!(standbys.put(key(number), "c"), None);
        }
        // One that was taken and put in again is not the oldest any more.
        assert_eq!(standbys.take(&key(0)), Some("a"));
        assert_eq!(standbys.put(key(0), "d"), None);
        assert_eq!(standbys.put(key(99), "e"), Some("c"));
        assert_eq!(standbys.take(&key(1)), None);
        assert_eq!(standbys.take(&key(0)), Some("d"));
    }
}
