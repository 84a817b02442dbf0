//! What an image may cost, counted over all its layers together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Interrupt;
use crate::error::{Error, ErrorKind, Result};

/// Lambda's limit for an uncompressed image, in bytes.
pub(crate) const IMAGE_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// Most members of all layers together. Real images have up to some 300,000
/// files; the bound keeps a tiny archive from costing minutes and inodes.
pub(crate) const IMAGE_ENTRIES_MAX: u64 = 2_000_000;

/// Budgets shared by the threads that unpack an image.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_left: AtomicU64,
    entries_left: AtomicU64,
    cancelled: AtomicBool,
    /// The caller's, beside the other threads'.
    pub(crate) interrupt: Interrupt,
}

impl Budget {
    pub(crate) fn new(bytes: u64, entries: u64) -> Self {
        Self {
            bytes_left: AtomicU64::new(bytes),
            entries_left: AtomicU64::new(entries),
            cancelled: AtomicBool::new(false),
            interrupt: Interrupt::default(),
        }
    }

    /// Accounts for bytes of an uncompressed layer.
    pub(crate) fn take_bytes(&self, bytes: u64) -> Result<()> {
        self.interrupt.check()?;
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::invalid("another layer failed"));
        }
        take(&self.bytes_left, bytes).ok_or_else(|| {
            Error::new(
                ErrorKind::ImageTooLarge,
                "the image is too large: Lambda's limit for a container image is 10 GB \
                 uncompressed, all layers together",
            )
        })
    }

    /// Accounts for one member of a layer.
    pub(crate) fn take_entry(&self) -> Result<()> {
        self.interrupt.check()?;
        take(&self.entries_left, 1).ok_or_else(|| {
            Error::limit(format!(
                "the image's layers have more than {IMAGE_ENTRIES_MAX} entries"
            ))
        })
    }

    /// Makes the other threads stop: the image has failed already.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

fn take(left: &AtomicU64, amount: u64) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(amount)
    })
    .ok()
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lasts_to_its_last_byte_and_entry() {
        let budget = Budget::new(10, 2);
        for (bytes, expected) in [
            (4, None),
            (6, None),
            (0, None),
            (1, Some(ErrorKind::ImageTooLarge)),
            (u64::MAX, Some(ErrorKind::ImageTooLarge)),
        ] {
            let found = budget.take_bytes(bytes).err().map(|error| error.kind());
            assert_eq!(found, expected, "{bytes}");
        }
        let entries = [(); 4].map(|()| budget.take_entry().err().map(|error| error.kind()));
        let exceeded = Some(ErrorKind::LimitExceeded);
        assert_eq!(entries, [None, None, exceeded, exceeded]);
    }
}
