//! The functions that a service can invoke, by name: their versions, and the
//! aliases that lead to them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::catalog::Route;
use crate::model::{FunctionName, FunctionReference, Version};
use crate::pool::FunctionVersion;
use crate::service::PreparedCode;

/// All functions, with what their names and qualifiers lead to.
#[derive(Debug, Default)]
pub struct Functions {
    by_name: RwLock<BTreeMap<FunctionName, Function>>,
}

#[derive(Debug, Default)]
struct Function {
    versions: BTreeMap<Version, Arc<FunctionVersion>>,
    aliases: BTreeMap<String, Route>,
}

impl Functions {
    /// Adds a version of a function, or replaces it. Returns what it replaced.
    pub fn put(&self, version: Arc<FunctionVersion>) -> Option<Arc<FunctionVersion>> {
        let configuration = &version.configuration;
        let (name, number) = (configuration.function_name.clone(), configuration.version);
        let mut functions = self.write();
        functions
            .entry(name)
            .or_default()
            .versions
            .insert(number, version)
    }

    /// Takes a function away, and returns its versions.
    pub(crate) fn remove(&self, name: &FunctionName) -> Vec<Arc<FunctionVersion>> {
        let removed = self.write().remove(name);
        removed.map_or_else(Vec::new, |function| {
            function.versions.into_values().collect()
        })
    }

    /// Sets a function's aliases and its reserved concurrency, and returns the
    /// versions that it should not have.
    pub(crate) fn configure(
        &self,
        name: &FunctionName,
        aliases: BTreeMap<String, Route>,
        reserved: Option<usize>,
        keep: impl Fn(Version) -> bool,
    ) -> Vec<Arc<FunctionVersion>> {
        let mut functions = self.write();
        let Some(function) = functions.get_mut(name) else {
            return vec![];
        };
        function.aliases = aliases;
        let mut gone = vec![];
        function.versions.retain(|number, version| {
            version.reserve(reserved);
            let kept = keep(*number);
            if !kept {
                gone.push(Arc::clone(version));
            }
            kept
        });
        gone
    }

    /// The versions of a function that can be invoked.
    pub(crate) fn versions(&self, name: &FunctionName) -> Vec<Arc<FunctionVersion>> {
        let functions = self.read();
        let function = functions.get(name);
        function.map_or_else(Vec::new, |function| {
            function.versions.values().cloned().collect()
        })
    }

    /// Whether a version can be invoked.
    pub(crate) fn has(&self, name: &FunctionName, version: Version) -> bool {
        let functions = self.read();
        let function = functions.get(name);
        function.is_some_and(|function| function.versions.contains_key(&version))
    }

    /// The code of a version that can be invoked.
    pub(crate) fn code(&self, name: &FunctionName, version: Version) -> Option<Arc<PreparedCode>> {
        let functions = self.read();
        let version = functions.get(name)?.versions.get(&version)?;
        Some(Arc::clone(&version.code))
    }

    /// The version that a reference means. An alias with two of them has its dice
    /// thrown here.
    pub fn find(&self, reference: &FunctionReference) -> Option<Arc<FunctionVersion>> {
        let functions = self.read();
        let function = functions.get(&reference.name)?;
        let version = match reference.qualifier.as_deref() {
            None => Version::Latest,
            Some(qualifier) => match function.aliases.get(qualifier) {
                Some(route) => route.choose(chance()),
                None => qualifier.parse().ok()?,
            },
        };
        function.versions.get(&version).cloned()
    }

    /// Every function's `$LATEST`, by name.
    pub fn latest(&self) -> Vec<Arc<FunctionVersion>> {
        let functions = self.read();
        let latest = |function: &Function| function.versions.get(&Version::Latest).cloned();
        functions.values().filter_map(latest).collect()
    }

    /// The only function, if there is one.
    pub fn only(&self) -> Option<Arc<FunctionVersion>> {
        let functions = self.read();
        let mut all = functions.values();
        match (all.next(), all.next()) {
            (Some(only), None) => only.versions.get(&Version::Latest).cloned(),
            _ => None,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<FunctionName, Function>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<FunctionName, Function>> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A random number of at least 0 and less than 1.
fn chance() -> f64 {
    // The random bits of an identifier that are all random.
    let [a, b, c, d, ..] = *uuid::Uuid::new_v4().as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}
