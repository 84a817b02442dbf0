//! The functions that a service has, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{FunctionName, FunctionReference};
use crate::pool::FunctionVersion;

/// All functions, with what their names and qualifiers lead to.
#[derive(Debug, Default)]
pub struct Functions {
    latest: RwLock<BTreeMap<FunctionName, Arc<FunctionVersion>>>,
}

impl Functions {
    /// Adds a function's `$LATEST`, or replaces it. Returns what it replaced.
    pub fn put(&self, version: Arc<FunctionVersion>) -> Option<Arc<FunctionVersion>> {
        let name = version.configuration.function_name.clone();
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        latest.insert(name, version)
    }

    /// The version that a reference means.
    pub fn find(&self, reference: &FunctionReference) -> Option<Arc<FunctionVersion>> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        match reference.qualifier.as_deref() {
            None | Some("$LATEST") => latest.get(&reference.name).cloned(),
            Some(_) => None,
        }
    }

    /// Every function's `$LATEST`, by name.
    pub fn latest(&self) -> Vec<Arc<FunctionVersion>> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        latest.values().cloned().collect()
    }

    /// The only function, if there is one.
    pub fn only(&self) -> Option<Arc<FunctionVersion>> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = latest.values();
        match (all.next(), all.next()) {
            (Some(only), None) => Some(Arc::clone(only)),
            _ => None,
        }
    }
}
