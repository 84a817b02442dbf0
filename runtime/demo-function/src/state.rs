//! What outlives an invocation inside the process.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

static COUNT: AtomicU64 = AtomicU64::new(0);
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Counts this invocation.
pub(crate) fn counter() -> Value {
    json!({ "count": COUNT.fetch_add(1, Ordering::Relaxed) + 1 })
}

/// Holds on to memory until the process ends.
pub(crate) fn keep(memory: Vec<u8>) {
    KEPT.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(memory);
}
