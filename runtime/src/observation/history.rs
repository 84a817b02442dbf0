//! The rings, shared between who writes and who reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use super::rings::{Batch, Cursor, Rings};
use crate::model::FunctionName;

/// Lines that a reader takes at once, so that writers wait for microseconds only.
const BATCH: usize = 256;

/// The last log lines of every function.
#[derive(Debug, Default)]
pub struct History {
    rings: Mutex<Rings>,
    /// Changes with every line; true when there will be no more.
    closed: watch::Sender<bool>,
}

/// A reader.
#[derive(Debug)]
pub struct Follower {
    history: Arc<History>,
    function: Option<FunctionName>,
    cursor: Cursor,
    closed: watch::Receiver<bool>,
}

impl History {
    /// From now on the function is known.
    pub(super) fn open(&self, function: &FunctionName) {
        self.lock().open(function);
    }

    /// Adds a line, without its newline.
    pub(super) fn push(&self, function: &FunctionName, at: SystemTime, text: &[u8]) {
        self.lock().push(function, at, text);
        self.closed.send_modify(|_| {});
    }

    /// There will be no more lines.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// A reader of one function's lines, or of all; from `since` on, or from the
    /// oldest. `None` if there is no such function.
    pub fn follow(
        self: &Arc<Self>,
        function: Option<FunctionName>,
        since: Option<SystemTime>,
    ) -> Option<Follower> {
        let rings = self.lock();
        if function.as_ref().is_some_and(|name| !rings.knows(name)) {
            return None;
        }
        let cursor = rings.cursor(since);
        drop(rings);
        Some(Follower {
            history: Arc::clone(self),
            function,
            cursor,
            closed: self.closed.subscribe(),
        })
    }

    /// The rings; a panic cannot leave them half changed.
    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// The next lines; none if there are none now.
    pub fn read(&mut self) -> Batch {
        let rings = self.history.lock();
        rings.read(&mut self.cursor, self.function.as_ref(), BATCH)
    }

    /// Waits until there may be more lines. False when there will be none beyond
    /// those that can be read now.
    pub async fn more(&mut self) -> bool {
        !*self.closed.borrow_and_update() && self.closed.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_are_woken_and_sent_home() {
        let history = Arc::new(History::default());
        let function: FunctionName = "f".parse().unwrap();
        assert!(history.follow(Some(function.clone()), None).is_none());
        history.open(&function);
        let mut follower = history.follow(Some(function.clone()), None).unwrap();
        assert!(follower.read().lines.is_empty());
        let writer = Arc::clone(&history);
        let writing = tokio::spawn(async move {
            writer.push(&function, SystemTime::now(), b"one");
        });
        while follower.read().lines.is_empty() {
            assert!(follower.more().await);
        }
        writing.await.unwrap();
        history.close();
        while follower.more().await {}
        assert!(follower.read().lines.is_empty());
    }
}
