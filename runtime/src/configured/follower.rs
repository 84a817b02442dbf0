//! Follows a file, and serves what has changed.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use super::deployer::{Changes, Deployer};
use super::file::ConfigurationFile;
use super::look::changed_or_due;
use super::retry::{Retry, stays};
use super::source::{Identity, Source};
use crate::configuration::{Api, Configuration};
use crate::control_plane::ControlPlane;
use crate::model::FunctionName;
use crate::pool::Pools;
use crate::service_error::ServiceError;

/// What follows a file beside its functions.
pub(crate) trait Listener: Send + Sync {
    /// The functions are those of this configuration now. A line to say, if there is
    /// one.
    fn changed<'a>(
        &'a self,
        configuration: &'a Configuration,
    ) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>>;
}

/// What is needed to serve a file.
pub(crate) struct Start {
    pub(crate) file: ConfigurationFile,
    /// Of the file before it was read.
    pub(crate) identity: Identity,
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) pools: Arc<Pools>,
    /// Says a sentence to whoever runs the service.
    pub(crate) say: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A file that is served.
pub(crate) struct Configured {
    file: ConfigurationFile,
    deployer: Deployer,
    control: Arc<ControlPlane>,
    pools: Arc<Pools>,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    /// What was read last, if only because it could not be served.
    read: Configuration,
    /// The routes that are served.
    api: Api,
    /// When that was made, or tried.
    seen: Seen,
    /// What was read could not be served.
    retry: Retry,
    /// Of what was read since it was last served.
    unsaid: Unsaid,
    /// Warnings that were said.
    said: BTreeSet<String>,
}

/// What there is to say of a file when its functions are served.
#[derive(Debug, Default, Clone, Copy)]
struct Unsaid {
    /// It was written.
    edited: bool,
    /// So were settings that are read once.
    other_settings: bool,
}

/// Everything that a file depends on, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    file: Identity,
    sources: Vec<(Source, Identity)>,
}

impl fmt::Debug for Configured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Configured")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Configured {
    /// Serves what was read of a file.
    ///
    /// # Errors
    /// A function of it cannot be served.
    pub(crate) async fn start(
        start: Start,
        configuration: Configuration,
    ) -> Result<Self, ServiceError> {
        let base = start.file.base().to_owned();
        let control = Arc::clone(&start.control);
        let deployer = Deployer::new(control, Arc::clone(&start.pools), base);
        let mut configured = Self {
            deployer,
            control: start.control,
            pools: start.pools,
            say: start.say,
            seen: Seen {
                file: start.identity,
                sources: vec![],
            },
            file: start.file,
            api: configuration.api.clone(),
            read: configuration,
            retry: Retry::default(),
            unsaid: Unsaid::default(),
            said: BTreeSet::new(),
        };
        // Before any of it is read: what changes meanwhile is seen as a change.
        configured.seen.sources = configured.look().await.sources;
        let changes = configured.deployer.deploy(&configured.read).await;
        let changes = changes.map_err(|error| error.about(configured.file.path().display()))?;
        configured.warn(&changes.warnings);
        Ok(configured)
    }

    /// What is served.
    pub(crate) fn configuration(&self) -> &Configuration {
        &self.read
    }

    /// The functions for which it configures a URL.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &FunctionName> {
        let functions = self.read.functions.iter();
        functions
            .filter(|function| function.url.is_some())
            .map(|function| &function.name)
    }

    /// Follows the file until it is dropped.
    pub(crate) async fn follow(mut self, listener: Arc<dyn Listener>) {
        loop {
            let mut retry = self.retry;
            let now = changed_or_due(&self.seen, &mut retry, || self.look()).await;
            self.retry = retry;
            self.take(now, &*listener).await;
        }
    }

    /// Serves what is there now.
    async fn take(&mut self, now: Seen, listener: &dyn Listener) {
        let edited = now.file != self.seen.file;
        self.seen = now;
        if edited && let Err(error) = self.read_again().await {
            (self.say)(&format!("what was served before stays: {error}"));
            return;
        }
        let path = self.file.path().display().to_string();
        let begun = Instant::now();
        let changes = match self.deployer.deploy(&self.read).await {
            Ok(changes) => changes,
            Err(ServiceError::Interrupted) => return,
            Err(error) => {
                if self.retry.failed(begun.elapsed()) {
                    (self.say)(&stays(&format!("{path}: {error}")));
                }
                return;
            }
        };
        self.retry.succeeded();
        let unsaid = std::mem::take(&mut self.unsaid);
        self.warn(&changes.warnings);
        if unsaid.other_settings {
            (self.say)(&format!(
                "warning: {path}: endpoint and runtime_images are read when the service starts: \
                 start it again"
            ));
        }
        let api = self.read.api != self.api;
        self.api = self.read.api.clone();
        if let Some(line) = news(&path, &changes, api, unsaid.edited) {
            (self.say)(&line);
        }
        if let Some(line) = listener.changed(&self.read).await {
            (self.say)(&line);
        }
    }

    /// Reads the file, which has changed.
    async fn read_again(&mut self) -> Result<(), String> {
        let file = self.file.clone();
        // Of a slow disk, and with a template that takes long to work out, nobody else
        // has to wait.
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        let read = read.unwrap_or_else(|panic| {
            let path = self.file.path().display();
            Err(format!("{path}: reading it failed: {panic}"))
        })?;
        self.unsaid.edited = true;
        self.unsaid.other_settings |=
            read.endpoint != self.read.endpoint || read.runtime_images != self.read.runtime_images;
        self.read = read;
        // It may have other sources.
        self.seen.sources = self.look().await.sources;
        Ok(())
    }

    /// Says what was not said yet.
    fn warn(&mut self, more: &[String]) {
        let hint = self.file.hint();
        let warnings = self.read.warnings.iter().chain(more).chain(&hint);
        for warning in warnings {
            if self.said.insert(warning.clone()) {
                (self.say)(&format!("warning: {warning}"));
            }
        }
    }

    async fn look(&self) -> Seen {
        let file = self.file.clone();
        let base = self.file.base();
        let functions = self.read.functions.iter();
        let sources: BTreeSet<Source> = functions
            .flat_map(|function| Source::of(function, base))
            .collect();
        let pools = Arc::clone(&self.pools);
        let control = Arc::clone(&self.control);
        let work = move || {
            let images = pools.service().images().content();
            let identified = |source: Source| {
                let identity = source.identity(images, control.registries());
                (source, identity)
            };
            Seen {
                file: file.identity(),
                sources: sources.into_iter().map(identified).collect(),
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(seen) => seen,
            // As before.
            Err(_) => self.seen.clone(),
        }
    }
}

/// What to say of a file, if anything: the changes of its functions, whether its
/// routes or their CORS are other ones, and whether it was written at all.
fn news(path: &str, changes: &Changes, api: bool, edited: bool) -> Option<String> {
    let routes = if api {
        "routes of the HTTP API updated"
    } else {
        ""
    };
    if !changes.is_empty() {
        let summary = changes.summary();
        let separator = if api { "; " } else { "" };
        return Some(format!(
            "{path}: {summary}{separator}{routes}. New invocations meet what is there now"
        ));
    }
    if api {
        return Some(format!(
            "{path}: {routes}; none of its functions has changed"
        ));
    }
    edited.then(|| format!("{path} has changed, but none of its functions has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_said() {
        let none = Changes::default();
        let some = Changes {
            updated: vec!["f".parse().unwrap()],
            ..Changes::default()
        };
        for (changes, api, edited, line) in [
            (&none, false, false, None),
            (
                &none,
                false,
                true,
                Some("t has changed, but none of its functions has"),
            ),
            (
                &none,
                true,
                true,
                Some("t: routes of the HTTP API updated; none of its functions has changed"),
            ),
            (
                &some,
                false,
                true,
                Some("t: updated f. New invocations meet what is there now"),
            ),
            (
                &some,
                true,
                true,
                Some(
                    "t: updated f; routes of the HTTP API updated. New invocations meet what is \
                     there now",
                ),
            ),
        ] {
            assert_eq!(news("t", changes, api, edited).as_deref(), line);
        }
    }
}
