//! How an import tells its caller what it is doing.

use crate::{Digest, Interrupt};

/// Receives the progress of an import; called from several threads.
pub trait Progress: Sync {
    /// Something happened to the layer whose blob has this digest.
    fn layer(&self, digest: &Digest, state: LayerProgress);

    /// The work waits for another process that uses the same store.
    fn waiting(&self) {}

    /// What stops the work when it is raised; by default nothing does. Always
    /// the same one.
    fn interrupt(&self) -> Interrupt {
        Interrupt::default()
    }
}

/// What happened to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerProgress {
    /// The store has the layer already; it will not be read.
    AlreadyStored,
    /// Reading begins; the blob has this many bytes.
    Started {
        /// Size of the blob in bytes, as in its descriptor.
        total: u64,
    },
    /// So many of the blob's bytes have been read.
    Advanced {
        /// Bytes read since the beginning.
        read: u64,
    },
    /// The layer is verified and unpacked.
    Finished,
}

/// Ignores all progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn layer(&self, _: &Digest, _: LayerProgress) {}
}
