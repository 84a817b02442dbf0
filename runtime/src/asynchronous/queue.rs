//! The events that wait, each a task that goes its own way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use super::record::{Answer, Record};
use super::retry::{Attempt, Condition, Next, Pace, Progress};
use super::room::{Full, Limits, Place, Room};
use super::{ConfiguredEvents, Destination, EventInvokeConfig, InvalidSetting, delivery};
use crate::environment::{Invocation, InvocationResult};
use crate::functions::Functions;
use crate::model::{FunctionName, FunctionReference};
use crate::pool::{FunctionVersion, PoolError, Pools, Throttle};

/// How often a record may cause the next event before the chain is cut, as Lambda
/// cuts functions that invoke each other in circles.
const LONGEST_CHAIN: u32 = 16;

/// Takes sentences for the person who runs the service. Must not block.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// How a queue behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueSettings {
    /// How long retries wait.
    pub pace: Pace,
    /// What it holds.
    pub limits: Limits,
}

/// All asynchronous events of a service. They are kept in memory: whoever ends the
/// service loses those that wait.
pub struct EventQueue {
    pools: Arc<Pools>,
    functions: Arc<Functions>,
    pace: Pace,
    room: Room,
    configs: RwLock<BTreeMap<Target, ConfiguredEvents>>,
    work: watch::Sender<Work>,
    notices: Notices,
}

/// A function with the qualifier under which it was invoked, `$LATEST` if none.
type Target = (FunctionName, String);

/// What goes on.
#[derive(Debug, Default)]
struct Work {
    closed: bool,
    /// Attempts that run now.
    running: usize,
}

/// An event on its way.
struct Event {
    reference: FunctionReference,
    invocation: Invocation,
    progress: Progress,
    answer: Option<Answer>,
    place: Place,
    /// How many records there were before this event, each the cause of the next.
    chain: u32,
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventQueue")
            .field("events", &self.room.events())
            .finish_non_exhaustive()
    }
}

fn target(reference: &FunctionReference) -> Target {
    let qualifier = reference.qualifier.as_deref().unwrap_or("$LATEST");
    (reference.name.clone(), qualifier.to_owned())
}

impl EventQueue {
    /// An empty queue.
    pub fn new(
        pools: Arc<Pools>,
        functions: Arc<Functions>,
        settings: QueueSettings,
        notices: Notices,
    ) -> Arc<Self> {
        Arc::new(Self {
            pools,
            functions,
            pace: settings.pace,
            room: Room::new(settings.limits),
            configs: RwLock::default(),
            work: watch::Sender::default(),
            notices,
        })
    }

    /// Sets what happens to a function's events from now on.
    ///
    /// # Errors
    /// The function is its own destination.
    pub fn configure(
        &self,
        reference: &FunctionReference,
        config: EventInvokeConfig,
    ) -> Result<ConfiguredEvents, InvalidSetting> {
        config.check(&reference.name)?;
        let target = target(reference);
        let configured = ConfiguredEvents {
            name: target.0.clone(),
            qualifier: target.1.clone(),
            config,
            modified: chrono::Utc::now(),
        };
        let mut configs = self.configs.write().unwrap_or_else(PoisonError::into_inner);
        configs.insert(target, configured.clone());
        Ok(configured)
    }

    /// Goes back to what is the default. False if it is already.
    pub fn forget(&self, reference: &FunctionReference) -> bool {
        let mut configs = self.configs.write().unwrap_or_else(PoisonError::into_inner);
        configs.remove(&target(reference)).is_some()
    }

    /// What was set for a function; none if nothing was.
    pub fn configured(&self, reference: &FunctionReference) -> Option<ConfiguredEvents> {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        configs.get(&target(reference)).cloned()
    }

    /// What was set for all qualifiers of a function.
    pub fn configured_for(&self, name: &FunctionName) -> Vec<ConfiguredEvents> {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        let all = configs.values();
        all.filter(|configured| configured.name == *name)
            .cloned()
            .collect()
    }

    /// What happens to a function's events.
    pub fn config(&self, reference: &FunctionReference) -> EventInvokeConfig {
        let configured = self.configured(reference);
        configured.map_or_else(EventInvokeConfig::default, |configured| configured.config)
    }

    /// Takes an event. The answer to whoever sent it does not wait for anything.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn accept(
        self: &Arc<Self>,
        reference: FunctionReference,
        invocation: Invocation,
    ) -> Result<(), Full> {
        self.accept_in_chain(reference, invocation, 0)
    }

    fn accept_in_chain(
        self: &Arc<Self>,
        reference: FunctionReference,
        invocation: Invocation,
        chain: u32,
    ) -> Result<(), Full> {
        let place = self.room.take(invocation.payload.len())?;
        let counters = self.pools.observer().function(&reference.name);
        counters.async_event_received();
        let event = Event {
            reference,
            invocation,
            progress: Progress::new(Instant::now()),
            answer: None,
            place,
            chain,
        };
        tokio::spawn(Arc::clone(self).run(event));
        Ok(())
    }

    /// Events that wait or run.
    pub fn events(&self) -> usize {
        self.room.events()
    }

    /// Starts no more attempts, and waits for those that run.
    pub async fn close(&self) {
        self.work.send_modify(|work| work.closed = true);
        let mut work = self.work.subscribe();
        // The sender is ours.
        let _ = work.wait_for(|work| work.running == 0).await;
    }

    async fn run(self: Arc<Self>, mut event: Event) {
        loop {
            let config = self.config(&event.reference);
            if event.progress.is_too_old(&config, Instant::now()) {
                return self.end(event, Condition::EventAgeExceeded).await;
            }
            let Some(version) = self.functions.find(&event.reference) else {
                self.drop_event(&event, "the function is gone");
                return;
            };
            let Some(attempt) = self.attempt(&mut event, &version).await else {
                // It keeps its place, so that it is counted among the lost.
                return std::future::pending().await;
            };
            let now = Instant::now();
            match event.progress.after(attempt, &config, self.pace, now) {
                Next::Wait(wait) => tokio::time::sleep(wait).await,
                Next::End(condition) => return self.end(event, condition).await,
            }
        }
    }

    /// Runs the function once, with the same request ID each time. `None` when
    /// the queue is closed.
    async fn attempt(&self, event: &mut Event, version: &Arc<FunctionVersion>) -> Option<Attempt> {
        let begun = self.work.send_if_modified(|work| {
            work.running += usize::from(!work.closed);
            !work.closed
        });
        if !begun {
            return None;
        }
        let result = self.pools.invoke(version, event.invocation.clone()).await;
        self.work.send_modify(|work| work.running -= 1);
        Some(match result {
            Ok(result) => event.take_answer(version, &result),
            Err(PoolError::Throttled(Throttle::Reserved)) if version.is_disabled() => {
                Attempt::Disabled
            }
            Err(PoolError::Throttled(_)) => Attempt::Refused,
            Err(error) => {
                if !self.work.borrow().closed {
                    let id = event.invocation.request_id;
                    let name = &event.reference.name;
                    (self.notices)(&format!("{name}: asynchronous event {id}: {error}"));
                }
                Attempt::Refused
            }
        })
    }

    async fn end(self: &Arc<Self>, event: Event, condition: Condition) {
        let counters = self.pools.observer().function(&event.reference.name);
        let config = self.config(&event.reference);
        let destination = if condition == Condition::Success {
            config.on_success
        } else {
            counters.async_event_dropped();
            config.on_failure
        };
        let Some(destination) = destination else {
            return;
        };
        let (name, qualifier) = target(&event.reference);
        let arn = self.pools.service().function_arn(&name);
        let record = Record {
            at: chrono::Utc::now(),
            request_id: event.invocation.request_id,
            function_arn: &format!("{arn}:{qualifier}"),
            condition,
            runs: event.progress.runs(),
            request: &event.invocation.payload,
            answer: event.answer.as_ref(),
        }
        .to_json();
        if let Err(reason) = self.deliver(&destination, record, event.chain).await {
            counters.destination_delivery_failed();
            let id = event.invocation.request_id;
            (self.notices)(&format!(
                "{name}: the record of event {id} did not reach {destination}: {reason}"
            ));
        }
    }

    async fn deliver(
        self: &Arc<Self>,
        destination: &Destination,
        record: String,
        chain: u32,
    ) -> Result<(), String> {
        match destination {
            Destination::File(path) => delivery::append(path.clone(), record)
                .await
                .map_err(|error| error.to_string()),
            Destination::Function(name) => {
                let reference = FunctionReference {
                    name: name.clone(),
                    qualifier: None,
                };
                if self.functions.find(&reference).is_none() {
                    return Err("there is no such function".to_owned());
                }
                if chain >= LONGEST_CHAIN {
                    return Err(format!(
                        "it is record {} in a chain, in which functions are probably each \
                         other's destination",
                        chain + 1
                    ));
                }
                let invocation = Invocation::new(Bytes::from(record));
                self.accept_in_chain(reference, invocation, chain + 1)
                    .map_err(|full| full.to_string())
            }
        }
    }

    fn drop_event(&self, event: &Event, reason: &str) {
        let name = &event.reference.name;
        self.pools.observer().function(name).async_event_dropped();
        let id = event.invocation.request_id;
        (self.notices)(&format!("{name}: event {id} is dropped: {reason}"));
    }
}

impl Event {
    fn take_answer(&mut self, version: &FunctionVersion, result: &InvocationResult) -> Attempt {
        let payload = result.payload();
        self.place.keep_answer(payload.len());
        let function_error = result.function_error();
        self.answer = Some(Answer {
            version: version.version.clone(),
            function_error,
            payload,
        });
        if function_error.is_some() {
            Attempt::FunctionError
        } else {
            Attempt::Succeeded
        }
    }
}
