//! The functions that a service can invoke, by name: their versions, and the
//! aliases that lead to them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::catalog::Route;
use crate::model::{EventInvokeConfig, FunctionName, FunctionReference, Version};
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
    event_invoke: BTreeMap<String, EventInvokeConfig>,
}

/// What is set for a function beside its versions.
#[derive(Debug)]
pub(crate) struct Bindings {
    pub(crate) aliases: BTreeMap<String, Route>,
    /// By qualifier; `$LATEST` where there is none.
    pub(crate) event_invoke: BTreeMap<String, EventInvokeConfig>,
    /// Reserved concurrency.
    pub(crate) reserved: Option<usize>,
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

    /// There is a function of that name, of which nothing may be invocable yet.
    pub(crate) fn expect(&self, name: &FunctionName) {
        self.write().entry(name.clone()).or_default();
    }

    /// Whether there is a function of that name.
    pub(crate) fn exists(&self, name: &FunctionName) -> bool {
        self.read().contains_key(name)
    }

    /// The function of that name, else the only one whose name has the same letters: host
    /// names do not keep capitals.
    pub(crate) fn whatever_capitals(&self, name: &FunctionName) -> Option<FunctionName> {
        let functions = self.read();
        if functions.contains_key(name) {
            return Some(name.clone());
        }
        let alike = |other: &&FunctionName| other.as_str().eq_ignore_ascii_case(name.as_str());
        let mut all = functions.keys().filter(alike);
        all.next().filter(|_| all.next().is_none()).cloned()
    }

    /// Whether there is more than one function.
    pub(crate) fn are_several(&self) -> bool {
        self.read().len() > 1
    }

    /// Takes a function away, and returns its versions.
    pub(crate) fn remove(&self, name: &FunctionName) -> Vec<Arc<FunctionVersion>> {
        let removed = self.write().remove(name);
        removed.map_or_else(Vec::new, |function| {
            function.versions.into_values().collect()
        })
    }

    /// Sets what a function has beside its versions, and returns the versions that
    /// it should not have.
    pub(crate) fn configure(
        &self,
        name: &FunctionName,
        bindings: Bindings,
        keep: impl Fn(Version) -> bool,
    ) -> Vec<Arc<FunctionVersion>> {
        let mut functions = self.write();
        let Some(function) = functions.get_mut(name) else {
            return vec![];
        };
        function.aliases = bindings.aliases;
        function.event_invoke = bindings.event_invoke;
        let mut gone = vec![];
        function.versions.retain(|number, version| {
            version.reserve(bindings.reserved);
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

    /// What is configured for the asynchronous events of a function, if anything.
    pub(crate) fn event_invoke(&self, reference: &FunctionReference) -> Option<EventInvokeConfig> {
        let functions = self.read();
        let function = functions.get(&reference.name)?;
        let qualifier = reference.qualifier.as_deref().unwrap_or("$LATEST");
        function.event_invoke.get(qualifier).cloned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_count_only_where_they_make_the_difference() {
        let functions = Functions::default();
        for name in ["Hello", "one", "ONE", "Two", "tWO"] {
            functions.expect(&name.parse().unwrap());
        }
        for (host, found) in [
            ("hello", Some("Hello")),
            ("HELLO", Some("Hello")),
            ("one", Some("one")),
            ("ONE", Some("ONE")),
            // Whose it is, nobody can know.
            ("two", None),
            ("other", None),
        ] {
            let name = functions.whatever_capitals(&host.parse().unwrap());
            assert_eq!(name.as_ref().map(FunctionName::as_str), found, "{host}");
        }
    }
}
