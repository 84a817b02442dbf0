//! Names for temporary things.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other thread of this process gets.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
