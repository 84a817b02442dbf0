//! `lambent validate --run`: what starting the environment shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::args::LayerSource;
use super::super::exit_status::CommandError;
use super::super::sink::StandardError;
use super::super::{extra_layers, interrupted, output};
use crate::control_plane::LayerStore;
use crate::environment::InitFailure;
use crate::model::{FunctionConfiguration, InitializationType, Status};
use crate::service::Service;
use crate::state::StateDirectories;
use crate::telemetry::{Event, Occurrence, Sink};
use crate::validate::{Finding, of_start};

/// So many bytes of the log are looked at.
const LOG_MAX: usize = 1 << 20;

/// Takes the environment of a stored image through INIT, without an event.
pub(super) async fn start(
    directories: &StateDirectories,
    digest: &str,
    function: FunctionConfiguration,
    layers: &[LayerSource],
) -> Result<Vec<Finding>, CommandError> {
    let service = Service::open(directories.clone())?;
    // After the service, which makes the directories.
    let store = (!layers.is_empty())
        .then(|| LayerStore::open(directories, service.region()))
        .transpose()?;
    let starting = async {
        let image = service.stored(digest)?.ok_or_else(|| {
            CommandError::Image(format!(
                "image {digest} was removed from the store meanwhile"
            ))
        })?;
        let log = Arc::new(Kept::default());
        let sink = Arc::clone(&log) as Arc<dyn Sink>;
        let image = Arc::new(image);
        let code = Arc::new(match &store {
            Some(store) => extra_layers::attach(store, None, layers, image)?,
            None => image.into(),
        });
        let started = service.environment(code, function, InitializationType::OnDemand, sink)?;
        let initialised = started.environment.initialise().await;
        log.terminal.drained().await;
        started.environment.shutdown().await;
        let reason = match initialised {
            Err(InitFailure::Host(reason)) => return Err(CommandError::Host(reason)),
            Err(InitFailure::Function(reason)) => reason,
            Ok(()) => None,
        };
        log.findings(reason.as_deref())
    };
    let result = tokio::select! {
        result = starting => result,
        error = interrupted() => Err(error),
    };
    service.shutdown().await;
    if let Some(Err(refusal)) = store.map(|store| store.collect()) {
        output::diagnostic(&format!("warning: layers stay in the store: {refusal}"));
    }
    result
}

/// Shows the log, and keeps it.
#[derive(Debug)]
struct Kept {
    terminal: StandardError,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    log: Vec<u8>,
    init: Option<(Duration, Status)>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            terminal: StandardError::new(),
            seen: Mutex::default(),
        }
    }
}

impl Kept {
    /// The state; a thread that panicked while it held it has left it whole.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn findings(&self, reason: Option<&str>) -> Result<Vec<Finding>, CommandError> {
        let seen = self.seen();
        let (duration, status) = seen.init.as_ref().ok_or_else(|| {
            CommandError::Internal("an environment was initialised without a report".to_owned())
        })?;
        Ok(of_start(
            *duration,
            status,
            reason,
            &String::from_utf8_lossy(&seen.log),
        ))
    }
}

impl Sink for Kept {
    fn emit(&self, occurrence: &Occurrence<'_>) {
        let mut seen = self.seen();
        match occurrence.event() {
            Event::InitReport {
                duration, status, ..
            } => seen.init = Some((*duration, status.clone())),
            Event::Function(line) if seen.log.len() < LOG_MAX => {
                seen.log.extend_from_slice(line);
                seen.log.push(b'\n');
            }
            _ => {}
        }
        self.terminal.emit(occurrence);
    }

    fn has_room(&self) -> bool {
        self.terminal.has_room()
    }
}
