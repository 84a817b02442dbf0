//! Versions of functions, as pools run them.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::book::Needs;
use crate::model::{FunctionConfiguration, FunctionName};
use crate::service::PreparedCode;
use crate::telemetry::Sink;

/// One version of a function, ready to run. A change of code or configuration
/// makes another one.
#[derive(Debug)]
pub struct FunctionVersion {
    /// Its configuration.
    pub configuration: FunctionConfiguration,
    /// `$LATEST` or a number.
    pub version: String,
    /// Its code.
    pub code: Arc<PreparedCode>,
    pub(super) reserved: Mutex<Option<usize>>,
    /// Where its environments' events go.
    pub sink: Arc<dyn Sink>,
    pub(super) retired: AtomicBool,
    pub(super) number: u64,
}

/// Names a version in the book: a number is enough, and the function for those
/// who ask how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) function: FunctionName,
    pub(super) number: u64,
}

impl FunctionVersion {
    pub(super) fn key(&self) -> Key {
        Key {
            function: self.configuration.function_name.clone(),
            number: self.number,
        }
    }

    /// Reserves so many environments for the function, of which this is one
    /// version; `None` takes the reservation away.
    pub fn reserve(&self, concurrency: Option<usize>) {
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner) = concurrency;
    }

    fn reserved(&self) -> Option<usize> {
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its reserved concurrency is zero, so that it never runs.
    pub(crate) fn is_disabled(&self) -> bool {
        self.reserved() == Some(0)
    }

    /// What this version needs while so much of what is reserved is used elsewhere.
    pub(super) fn needs(&self, elsewhere: usize) -> Needs {
        let reserved = self.reserved();
        Needs {
            memory_mb: self.configuration.memory_size.get().into(),
            reserved: reserved.map(|reserved| reserved.saturating_sub(elsewhere)),
        }
    }
}
