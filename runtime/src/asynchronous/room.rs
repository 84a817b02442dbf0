//! How much the queue holds: events wait in memory, so there is a limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the queue may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events that wait or run.
    pub events: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 10_000,
            bytes: 256 * 1024 * 1024,
        }
    }
}

/// The queue has no room for another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of asynchronous events is full")]
pub struct Full;

/// The room of a queue.
#[derive(Debug, Clone)]
pub(super) struct Room {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    events: usize,
    bytes: usize,
}

/// The place of one event, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    payload: usize,
    answer: usize,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            taken: Arc::default(),
        }
    }

    /// A place for an event with so many bytes of payload.
    pub(super) fn take(&self, bytes: usize) -> Result<Place, Full> {
        let mut taken = lock(&self.taken);
        if taken.events >= self.limits.events
            || taken.bytes.saturating_add(bytes) > self.limits.bytes
        {
            return Err(Full);
        }
        Ok(self.place(&mut taken, bytes))
    }

    /// A place for an event that had one before, even if there is no room.
    pub(super) fn squeeze(&self, bytes: usize) -> Place {
        self.place(&mut lock(&self.taken), bytes)
    }

    fn place(&self, taken: &mut Taken, bytes: usize) -> Place {
        taken.events += 1;
        taken.bytes += bytes;
        Place {
            taken: Arc::clone(&self.taken),
            payload: bytes,
            answer: 0,
        }
    }

    /// Events that have a place.
    pub(super) fn events(&self) -> usize {
        lock(&self.taken).events
    }
}

impl Place {
    /// The event keeps a function's answer of so many bytes, instead of the one
    /// before. It is in memory already, so this may go beyond the limit: then
    /// nothing new gets a place.
    pub(super) fn keep_answer(&mut self, bytes: usize) {
        let mut taken = lock(&self.taken);
        taken.bytes = taken.bytes - self.answer + bytes;
        self.answer = bytes;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.events -= 1;
        taken.bytes -= self.payload + self.answer;
    }
}

/// Numbers are whole whoever panicked.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_bounded_and_given_back() {
        let room = Room::new(Limits {
            events: 2,
            bytes: 10,
        });
        let mut first = room.take(4).unwrap();
        assert_eq!(room.take(7).unwrap_err(), Full);
        let second = room.take(6).unwrap();
        assert_eq!(room.take(0).unwrap_err(), Full, "two events");
        drop(second);
        first.keep_answer(6);
        assert_eq!(room.take(1).unwrap_err(), Full, "the answer counts");
        first.keep_answer(1);
        assert_eq!(room.events(), 1);
        drop(room.take(5).unwrap());
        drop(first);
        assert_eq!((room.events(), lock(&room.taken).bytes), (0, 0));
        // What was there before comes first.
        let places: Vec<_> = (0..3).map(|_| room.squeeze(1)).collect();
        assert_eq!(room.take(1).unwrap_err(), Full);
        drop(places);
        assert_eq!((room.events(), lock(&room.taken).bytes), (0, 0));
    }
}
