//! Connections on which no request is being answered, in the order of their silence.
//!
//! Where all places are taken, the one that has been silent for longest makes room: to
//! connect costs a client nothing, and must not keep others out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// For so long nobody has to make room: a request may be on its way.
const GRACE: Duration = Duration::from_secs(1);

/// Since when, and the number of the connection.
type Key = (Instant, u64);

/// The silent connections of one listener.
#[derive(Debug, Default)]
pub(super) struct Silent(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    connections: BTreeMap<Key, Arc<Notify>>,
}

impl Silent {
    /// A new connection, which is silent.
    pub(super) fn enter(self: &Arc<Self>) -> Presence {
        let mut inner = self.inner();
        inner.last += 1;
        let presence = Presence {
            silent: Arc::clone(self),
            number: inner.last,
            since: Mutex::new(None),
            has_asked: AtomicBool::new(false),
            room_wanted: Arc::default(),
        };
        drop(inner);
        presence.answered();
        presence
    }

    /// Waits until somebody has been silent for long enough, and tells it to make room.
    pub(super) async fn make_room(&self) {
        loop {
            let now = Instant::now();
            let first = self
                .inner()
                .connections
                .first_key_value()
                .map(|(key, _)| *key);
            let due = first.map_or(now, |(since, _)| since) + GRACE;
            if due > now {
                // By then others may be first, or the first of all.
                tokio::time::sleep_until(due).await;
            } else if let Some((_, connection)) = self.inner().connections.pop_first() {
                connection.notify_one();
                return;
            }
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection. It counts no more when this is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    silent: Arc<Silent>,
    number: u64,
    /// Under which key it is among the silent ones.
    since: Mutex<Option<Key>>,
    has_asked: AtomicBool,
    room_wanted: Arc<Notify>,
}

impl Presence {
    /// A request has come.
    pub(super) fn asked(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
        self.leave();
    }

    /// Whether a request has ever come.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        if let Some(key) = self.since().take() {
            self.silent.inner().connections.remove(&key);
        }
    }

    /// The request has an answer, which may be on its way yet.
    pub(super) fn answered(&self) {
        let key = (Instant::now(), self.number);
        *self.since() = Some(key);
        let mut inner = self.silent.inner();
        inner.connections.insert(key, Arc::clone(&self.room_wanted));
    }

    /// Waits until it shall make room.
    pub(super) async fn room_wanted(&self) {
        self.room_wanted.notified().await;
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Key>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leave();
    }
}
