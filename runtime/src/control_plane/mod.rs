//! The control plane: functions that are made, changed and removed while a service
//! runs, and that are there again when it is started again.
//!
//! `catalog` decides; this does what it decided. Requests are answered on threads
//! that may block ([`ControlPlane::answer`]); images are fetched in the background
//! (`deploy.rs`), which is what the state `Pending` is for.

mod answer;
mod answer_event_invoke;
mod answer_functions;
mod answer_layers;
mod answer_provisioned;
mod answer_urls;
mod answer_versions;
mod archives;
mod command_line;
mod configured;
mod daemons;
mod deploy;
mod functions_file;
mod layers;
mod operation;
mod registries;
mod runtimes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambent_images::NoProgress;

pub(crate) use self::answer::Answer;
pub(crate) use self::archives::ARCHIVES;
pub(crate) use self::configured::{Ready, Request};
pub(crate) use self::deploy::ROLE;
use self::functions_file::FunctionsFile;
pub(crate) use self::layers::LayerStore;
pub(crate) use self::operation::{Operation, parse};
pub(crate) use self::registries::Registries;
pub use self::runtimes::RuntimeImages;
use self::runtimes::Runtimes;
use crate::catalog::{Arns, Catalog, Refusal, RefusalKind, State};
use crate::functions::{Bindings, Functions};
use crate::images::Display;
use crate::model::{FunctionName, FunctionReference};
use crate::pool::Pools;
use crate::service_error::ServiceError;
use crate::state::StateDirectories;
use crate::telemetry::Sink;

/// All functions of a service, by decision and in fact.
#[derive(Debug)]
pub struct ControlPlane {
    pools: Arc<Pools>,
    functions: Arc<Functions>,
    sink: Arc<dyn Sink>,
    layers: LayerStore,
    runtimes: Runtimes,
    registries: Registries,
    state: Mutex<Held>,
    /// Held from a change of the catalog until what can be invoked has followed it,
    /// so that changes are followed in their order.
    following: Mutex<()>,
}

/// For what is fetched in the background.
fn no_display() -> Display {
    Arc::new(NoProgress)
}

/// The catalog and its file, which change together.
#[derive(Debug)]
struct Held {
    catalog: Catalog,
    file: FunctionsFile,
}

impl ControlPlane {
    /// Takes the functions of an installation; none of them can be invoked yet.
    ///
    /// # Errors
    /// Another service has them, or their file cannot be used.
    pub fn open(
        directories: &StateDirectories,
        pools: &Arc<Pools>,
        functions: &Arc<Functions>,
        sink: Arc<dyn Sink>,
        runtimes: RuntimeImages,
    ) -> Result<Arc<Self>, ServiceError> {
        let (file, catalog) = FunctionsFile::take(&directories.functions())?;
        let layers = LayerStore::open(directories, pools.service().region())?;
        // What a killed service left between two files.
        layers
            .collect()
            .map_err(|refusal| ServiceError::Host(refusal.message))?;
        Ok(Arc::new(Self {
            pools: Arc::clone(pools),
            functions: Arc::clone(functions),
            sink,
            layers,
            runtimes: Runtimes::new(runtimes),
            registries: Registries::default(),
            state: Mutex::new(Held { catalog, file }),
            following: Mutex::new(()),
        }))
    }

    /// How many functions there are.
    pub fn count(&self) -> usize {
        self.lock().catalog.functions.len()
    }

    /// The layers of the installation.
    pub(crate) fn layers(&self) -> &LayerStore {
        &self.layers
    }

    /// What registries have.
    pub(crate) fn registries(&self) -> &Registries {
        &self.registries
    }

    /// An archive as it came, by the name in its URL.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(crate) fn archive(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        self.layers.archive(name)
    }

    /// Waits until what can be invoked has followed the catalog, where that says that
    /// a version is active: whoever has read so may invoke it. Blocks.
    pub(crate) fn wait_for(&self, reference: &FunctionReference) {
        let active = {
            let held = self.lock();
            let found = held.catalog.resolve(reference, self.arns());
            found.is_ok_and(|(_, record)| record.state == State::Active)
        };
        if active {
            drop(self.turn());
        }
    }

    /// Why a function that nothing is deployed of cannot be invoked.
    pub(crate) fn not_invocable(&self, reference: &FunctionReference) -> Refusal {
        let held = self.lock();
        let Ok((_, record)) = held.catalog.resolve(reference, self.arns()) else {
            let qualifier = reference.qualifier.as_deref().unwrap_or("$LATEST");
            let arn = self.arns().qualified(&reference.name, qualifier);
            return Refusal::function(&arn);
        };
        let (state, reason) = match &record.state {
            State::Failed { reason, .. } => ("Failed", format!(": {reason}")),
            _ => ("Pending", String::new()),
        };
        Refusal::new(
            RefusalKind::Conflict,
            format!(
                "The operation cannot be performed at this time. The function is currently in \
                 the following state: {state}{reason}"
            ),
        )
    }

    fn arns(&self) -> &Arns {
        self.layers.arns()
    }

    /// Waits until what can be invoked has followed earlier changes.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.following
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what the catalog says can be invoked: who reads that an update was
    /// successful means to invoke it.
    fn settled(&self) {
        drop(self.turn());
    }

    /// The state; whoever panicked while holding it left it whole.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the catalog. The change is on disk when this returns, or has not
    /// happened.
    fn change<T>(
        &self,
        decide: impl FnOnce(&mut Catalog) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut held = self.lock();
        let mut catalog = held.catalog.clone();
        let decided = decide(&mut catalog)?;
        held.file
            .save(&catalog)
            .map_err(|error| Refusal::service(error.to_string()))?;
        held.catalog = catalog;
        Ok(decided)
    }

    /// Makes what can be invoked follow the catalog, except for code that is not
    /// ready: names, reservations, provisioned concurrency, and versions that are gone.
    /// With the turn that was taken for the change.
    fn follow(&self, name: &FunctionName) {
        let held = self.lock();
        let record = held.catalog.functions.get(name).cloned();
        let retired = match held.catalog.functions.get(name) {
            None => self.functions.remove(name),
            Some(record) => {
                let routes = record.aliases.iter();
                let routes = routes.map(|(alias, record)| (alias.clone(), record.route.clone()));
                let events = record.event_invoke.iter();
                let events =
                    events.map(|(qualifier, record)| (qualifier.clone(), record.config.clone()));
                let bindings = Bindings {
                    aliases: routes.collect(),
                    event_invoke: events.collect(),
                    reserved: record.reserved,
                };
                self.functions
                    .configure(name, bindings, |version| record.version(version).is_some())
            }
        };
        drop(held);
        for version in retired {
            self.pools.retire(&version);
        }
        for version in self.functions.versions(name) {
            let number = version.configuration.version;
            let wanted = record.as_ref().map(|record| record.provisioned_of(number));
            self.pools.provision(&version, wanted.unwrap_or(0));
        }
    }
}
