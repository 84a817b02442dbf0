//! Warm environments of all functions, shared by whoever invokes.
//!
//! [`Book`] decides; this module does what it says: makes environments, runs
//! invocations on them (`invoke.rs`), ends them; `provision.rs` does so ahead of
//! invocations. An invocation runs to its end even if its caller has gone, as on Lambda.
//! What dies with nothing to do goes at once, before an invocation meets it.

mod book;
mod idle;
mod invoke;
mod life;
mod provision;
mod standby;
mod version;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::book::{Book, Capacity, Needs, Place, SlotId};
pub use self::book::{Counts, Throttle};
pub use self::invoke::PoolError;
use self::life::Life;
pub use self::life::{Activity, EnvironmentStatus};
use self::provision::Provision;
pub use self::provision::Provisioned;
use self::standby::{Standby, Standbys};
pub use self::version::FunctionVersion;
use self::version::Key;
use crate::model::{
    ACCOUNT_CONCURRENCY, FunctionConfiguration, FunctionName, TraceId, Version, function_arn,
};
use crate::observation::Observer;
use crate::otlp;
use crate::service::{FunctionEnvironment, PreparedCode, Service};
use crate::telemetry::Sink;

/// How long invocations may take to end when their environments are gone: each is a task
/// that waits for nothing else.
const LAST_ENDS: Duration = Duration::from_secs(1);

/// The part of the host's memory that functions may have, in percent: the rest
/// is for the host, and for what their page cache needs.
const MEMORY_PERCENT: u64 = 90;

/// An environment whose runtime is about to ask for the next event.
#[derive(Debug)]
struct Settling {
    key: Key,
    /// A request waits for it.
    claimed: bool,
}

/// How pools behave.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// How long an environment stays without work (Lambda: 5 minutes).
    pub idle_limit: Duration,
    /// Environments in all, [`ACCOUNT_CONCURRENCY`] by default.
    pub concurrency: usize,
    /// Memory of all environments in MB; by default most of the host's.
    pub memory_mb: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        let memory = rustix::system::sysinfo();
        let bytes = memory.totalram.saturating_mul(memory.mem_unit.into());
        Self {
            idle_limit: Duration::from_secs(300),
            concurrency: ACCOUNT_CONCURRENCY.into(),
            memory_mb: bytes / (1024 * 1024) * MEMORY_PERCENT / 100,
        }
    }
}

/// All environments of a service.
#[derive(Debug)]
pub struct Pools {
    service: Service,
    settings: PoolSettings,
    observer: Arc<Observer>,
    /// Where traces go, if they are recorded.
    traces: Option<Arc<otlp::Exporter>>,
    state: Mutex<State>,
    /// An environment is free, or will not be soon.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    book: Book<Key>,
    idle: HashMap<SlotId, FunctionEnvironment>,
    lives: HashMap<SlotId, Arc<Life>>,
    provisions: HashMap<Key, Provision>,
    standbys: Standbys<Standby>,
    /// Environments whose callers have their answers and whose runtimes have not yet
    /// asked for the next event.
    settling: HashMap<SlotId, Settling>,
    /// Invocations that have begun and not ended.
    running: usize,
    next_version: u64,
    closed: bool,
}

impl Pools {
    /// No environments yet.
    pub(crate) fn new(
        service: Service,
        settings: PoolSettings,
        traces: Option<Arc<otlp::Exporter>>,
    ) -> Arc<Self> {
        let pools = Arc::new(Self {
            service,
            settings,
            observer: Arc::default(),
            traces,
            changed: Notify::new(),
            state: Mutex::new(State {
                book: Book::new(Capacity {
                    environments: settings.concurrency,
                    memory_mb: settings.memory_mb,
                }),
                idle: HashMap::new(),
                lives: HashMap::new(),
                provisions: HashMap::new(),
                standbys: Standbys::default(),
                settling: HashMap::new(),
                running: 0,
                next_version: 0,
                closed: false,
            }),
        });
        tokio::spawn(idle::watch(Arc::downgrade(&pools)));
        pools
    }

    /// The service below.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What all functions have done so far.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// Where traces go, if they are recorded.
    pub(crate) fn traces(&self) -> Option<&Arc<otlp::Exporter>> {
        self.traces.as_ref()
    }

    /// The trace of a request that has this X-Ray header; without one, or with one
    /// that is none, a new one. Where traces are recorded, so are those of which
    /// nobody has decided before.
    pub(crate) fn trace(&self, caller: Option<&str>) -> TraceId {
        let trace = caller.and_then(|header| header.parse().ok());
        let trace: TraceId = trace.unwrap_or_else(TraceId::random);
        trace.decided(self.traces.is_some())
    }

    /// The life of a new environment, told to those who record traces too.
    fn life(&self, version: &FunctionVersion) -> Life {
        let recorder = self.traces.as_ref().map(|exporter| {
            let configuration = &version.configuration;
            let region = self.service.region();
            let arn = function_arn(region, &configuration.function_name);
            let function = otlp::Function {
                name: configuration.function_name.to_string(),
                version: version.version.clone(),
                arn: match configuration.version {
                    Version::Latest => arn,
                    number @ Version::Number(_) => format!("{arn}:{number}"),
                },
                region: region.to_owned(),
                memory_bytes: configuration.memory_size.bytes(),
            };
            otlp::Recorder::new(Arc::clone(exporter), function)
        });
        Life::new(version, recorder)
    }

    /// A version of a function that can be invoked from now on.
    pub fn deploy(
        &self,
        configuration: FunctionConfiguration,
        code: Arc<PreparedCode>,
        reserved: Option<usize>,
        sink: Arc<dyn Sink>,
    ) -> Arc<FunctionVersion> {
        let sink = self.observer.sink(&configuration.function_name, sink);
        let mut state = self.lock();
        state.next_version += 1;
        let version = Arc::new(FunctionVersion {
            version: configuration.version.to_string(),
            configuration,
            code,
            reserved: Mutex::new(reserved),
            sink,
            retired: AtomicBool::new(false),
            number: state.next_version,
        });
        drop(state);
        self.stand_by(&version);
        version
    }

    /// Ends a version's environments: the idle ones now, the busy ones when they
    /// are done.
    pub fn retire(&self, version: &FunctionVersion) {
        version.retired.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        let key = version.key();
        state.provisions.remove(&key);
        let standby = state.standbys.take(&key);
        let slots = state.book.retire(|key| key.number == version.number);
        let ended = state.take(&slots);
        drop(state);
        // Dropping a handle ends its environment in the background.
        drop((ended, standby));
    }

    /// Waits until every runtime whose caller has its answer has asked for the next
    /// event: then its invocation has its report.
    pub(crate) async fn all_settled(&self) {
        self.until(|state| state.settling.is_empty()).await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that no change is missed.
            changed.as_mut().enable();
            if done(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Environments of each version, with the name of its function.
    pub fn counts(&self) -> Vec<(FunctionName, Counts)> {
        let state = self.lock();
        let counts = state.book.counts();
        counts
            .map(|(key, counts)| (key.function.clone(), counts))
            .collect()
    }

    /// Every environment, the oldest first.
    pub fn environments(&self) -> Vec<EnvironmentStatus> {
        let state = self.lock();
        let now = Instant::now();
        let mut all: Vec<_> = state
            .book
            .slots()
            .filter_map(|(_, slot, place, provisioned)| {
                let activity = match place {
                    Place::Starting => Activity::Initialising,
                    Place::Busy => Activity::Busy,
                    Place::Idle(since) => Activity::Idle(now.saturating_duration_since(since)),
                };
                let life = state.lives.get(&slot)?;
                Some(life.status(slot.number(), activity, provisioned))
            })
            .collect();
        all.sort_unstable_by_key(|environment| environment.id);
        all
    }

    /// Takes no more work, ends every environment, and waits until nothing is left.
    pub async fn shutdown(&self) {
        {
            let mut state = self.lock();
            state.closed = true;
            state.provisions.clear();
            state.standbys.clear();
            state.book.retire(|_| true);
            // Ended by the launcher, with those that are busy.
            state.idle.clear();
        }
        self.service.shutdown().await;
        // Who ran an invocation learns that it is lost, and says so.
        let ended = self.until(|state| state.running == 0);
        let _in_time = tokio::time::timeout(LAST_ENDS, ended).await;
    }

    /// The state; whoever panicked while holding it left it whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a version needs while its function's others have what they have: the
    /// reservation is the function's.
    fn needs(&self, version: &FunctionVersion) -> Needs {
        let key = version.key();
        let others = self.book.counts();
        let elsewhere = others
            .filter(|(other, _)| other.function == key.function && **other != key)
            .map(|(_, counts)| counts.reserving())
            .sum();
        version.needs(elsewhere)
    }

    /// Remembers the life of a new environment, and forgets those that are over.
    fn keep_life(&mut self, slot: SlotId, life: &Arc<Life>) {
        // The environment's actor holds the other reference.
        self.lives.retain(|_, life| Arc::strong_count(life) > 1);
        self.lives.insert(slot, Arc::clone(life));
    }

    /// For a function without a free environment, one that is free in a moment and
    /// that no other request waits for.
    fn claim_settling(&mut self, key: &Key) -> Option<SlotId> {
        let free = |(other, counts): (&Key, Counts)| {
            other == key && counts.idle + counts.provisioned_idle > 0
        };
        if self.closed || self.book.counts().any(free) {
            return None;
        }
        let mut settling = self.settling.iter_mut();
        let (slot, found) = settling.find(|(_, one)| one.key == *key && !one.claimed)?;
        found.claimed = true;
        Some(*slot)
    }

    fn take(&mut self, slots: &[SlotId]) -> Vec<FunctionEnvironment> {
        slots
            .iter()
            .filter_map(|slot| self.idle.remove(slot))
            .collect()
    }
}
