//! What waits for one subscriber, and when it goes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::telemetry::{Buffer, Buffering, Dropped, Item};

/// Whether anything can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Batches go when they are due.
    Running,
    /// The environment is frozen: nobody would answer.
    Frozen,
    /// The environment ends: everything goes at once.
    Ending,
}

/// What waits for one subscriber: between the environment's actor, which fills it,
/// and the task that delivers it.
#[derive(Debug)]
pub(super) struct Queue {
    buffer: Mutex<Buffer>,
    changed: Notify,
    /// Nothing waits, and nothing is being delivered.
    settled: watch::Sender<bool>,
}

impl Queue {
    pub(super) fn new(buffering: Buffering) -> Self {
        Self {
            buffer: Mutex::new(Buffer::new(buffering)),
            changed: Notify::new(),
            settled: watch::Sender::new(true),
        }
    }

    /// The buffer; whoever panicked while it held it has left it whole.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, line: Vec<u8>) {
        let mut buffer = self.lock();
        buffer.push(line, Instant::now());
        self.settled.send_replace(false);
        drop(buffer);
        self.changed.notify_one();
    }

    /// Counts what was lost before anything was put in.
    pub(super) fn lose(&self, lost: Dropped) {
        self.lock().lose(lost);
    }

    /// True when nothing waits and nothing is being delivered.
    pub(super) fn settled(&self) -> watch::Receiver<bool> {
        self.settled.subscribe()
    }

    /// Waits until a batch is due, and takes it.
    pub(super) async fn next(&self, pace: &mut watch::Receiver<Pace>) -> Vec<Item> {
        loop {
            let wait = {
                let pace = *pace.borrow_and_update();
                let mut buffer = self.lock();
                match (pace, buffer.due_in(Instant::now())) {
                    (Pace::Ending, Some(_)) | (Pace::Running, Some(Duration::ZERO)) => {
                        return buffer.take();
                    }
                    (Pace::Running, wait) => wait,
                    (Pace::Frozen | Pace::Ending, _) => None,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                changed = pace.changed() => if changed.is_err() {
                    // The subscribers are gone, and this task will be.
                    std::future::pending::<()>().await;
                },
                () = sleep(wait), if wait.is_some() => {}
            }
        }
    }

    /// The batch that was taken is delivered but for what is lost of it, of which
    /// `newly` was not lost before. All that was lost since the last batch.
    pub(super) fn done(&self, lost: Dropped, newly: Dropped) -> Dropped {
        let mut buffer = self.lock();
        buffer.lost(lost, newly);
        self.settled.send_replace(!buffer.has_events());
        buffer.take_unsaid()
    }
}

async fn sleep(wait: Option<Duration>) {
    if let Some(wait) = wait {
        tokio::time::sleep(wait).await;
    }
}
