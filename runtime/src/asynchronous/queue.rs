//! The events that wait, each a task that goes its own way.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;

use super::kept::{Kept, Store};
use super::record::{Answer, Record};
use super::retry::{Attempt, Condition, Next, Pace, Progress};
use super::room::{Full, Limits, Place, Room};
use super::{Destination, EventInvokeConfig, delivery};
use crate::environment::{Invocation, InvocationResult};
use crate::functions::Functions;
use crate::model::FunctionReference;
use crate::pool::{FunctionVersion, PoolError, Pools, Throttle};

/// How often a record may cause the next event before the chain is cut, as Lambda
/// cuts functions that invoke each other in circles.
const LONGEST_CHAIN: u32 = 16;

/// Takes sentences for the person who runs the service. Must not block.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// How a queue behaves.
#[derive(Debug, Clone, Default)]
pub struct QueueSettings {
    /// How long retries wait.
    pub pace: Pace,
    /// What it holds.
    pub limits: Limits,
    /// What happens to the events of functions for which nothing is configured.
    pub defaults: EventInvokeConfig,
}

/// Why an event is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] Full),
    /// It could not be written to disk.
    #[error("the event cannot be kept: {0}")]
    Disk(String),
}

/// All asynchronous events of a service. They are on disk too: those that wait when
/// the service ends, in whichever way, go on with the next one.
pub struct EventQueue {
    pools: Arc<Pools>,
    functions: Arc<Functions>,
    pace: Pace,
    room: Room,
    store: Arc<Store>,
    defaults: EventInvokeConfig,
    work: watch::Sender<Work>,
    notices: Notices,
}

/// What goes on.
#[derive(Debug, Default)]
struct Work {
    closed: bool,
    /// Attempts that run now.
    running: usize,
}

/// An event on its way.
struct Event {
    kept: Kept,
    progress: Progress,
    answer: Option<Answer>,
    place: Place,
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventQueue")
            .field("events", &self.room.events())
            .finish_non_exhaustive()
    }
}

impl EventQueue {
    /// A queue with the events that are in `directory`, none of which runs yet.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(
        directory: &Path,
        pools: Arc<Pools>,
        functions: Arc<Functions>,
        settings: QueueSettings,
        notices: Notices,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            pools,
            functions,
            pace: settings.pace,
            room: Room::new(settings.limits),
            store: Arc::new(Store::open(directory)?),
            defaults: settings.defaults,
            work: watch::Sender::default(),
            notices,
        }))
    }

    /// Goes on with the events that an earlier service has left, in their order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn resume(self: &Arc<Self>) -> io::Result<()> {
        let (events, problems) = self.store.load()?;
        for problem in problems {
            (self.notices)(&problem);
        }
        let (clock, now) = (SystemTime::now(), Instant::now());
        for kept in events {
            // The clock may have been set back.
            let age = clock.duration_since(kept.received).unwrap_or_default();
            let received = now.checked_sub(age).unwrap_or(now);
            let wait = kept.not_before.duration_since(clock).unwrap_or_default();
            let event = Event {
                progress: Progress::resumed(received, kept.runs),
                answer: None,
                // They were taken when there was room.
                place: self.room.squeeze(kept.invocation.payload.len()),
                kept,
            };
            let queue = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                queue.run(event).await;
            });
        }
        Ok(())
    }

    /// What happens to a function's events.
    fn config(&self, reference: &FunctionReference) -> EventInvokeConfig {
        if let Some(config) = self.functions.event_invoke(reference) {
            return config;
        }
        let mut config = self.defaults.clone();
        let itself = Some(Destination::Function(reference.name.clone()));
        for destination in [&mut config.on_success, &mut config.on_failure] {
            if *destination == itself {
                *destination = None;
            }
        }
        config
    }

    /// Takes an event. It is on disk when this returns; the answer to whoever sent it
    /// waits for nothing else.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn accept(
        self: &Arc<Self>,
        reference: FunctionReference,
        invocation: Invocation,
    ) -> Result<(), Refused> {
        self.accept_in_chain(reference, invocation, 0).await
    }

    async fn accept_in_chain(
        self: &Arc<Self>,
        reference: FunctionReference,
        invocation: Invocation,
        chain: u32,
    ) -> Result<(), Refused> {
        let place = self.room.take(invocation.payload.len())?;
        let received = SystemTime::now();
        let kept = Kept {
            name: self.store.name(received, &invocation),
            reference,
            invocation,
            received,
            runs: 0,
            not_before: received,
            chain,
        };
        self.keep(&kept).await.map_err(Refused::Disk)?;
        let counters = self.pools.observer().function(&kept.reference.name);
        counters.async_event_received();
        self.begin(Event {
            kept,
            progress: Progress::new(Instant::now()),
            answer: None,
            place,
        });
        Ok(())
    }

    fn begin(self: &Arc<Self>, event: Event) {
        tokio::spawn(Arc::clone(self).run(event));
    }

    /// Writes an event, off the event loop.
    async fn keep(&self, kept: &Kept) -> Result<(), String> {
        let (store, kept) = (Arc::clone(&self.store), kept.clone());
        let written = tokio::task::spawn_blocking(move || store.put(&kept)).await;
        written.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Forgets an event.
    async fn forget(&self, kept: &Kept) {
        let (store, name) = (Arc::clone(&self.store), kept.name.clone());
        let removed = tokio::task::spawn_blocking(move || store.remove(&name)).await;
        if let Err(error) = removed.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            let (name, id) = (&kept.reference.name, kept.invocation.request_id);
            (self.notices)(&format!(
                "{name}: event {id} has ended and cannot be forgotten: {error}"
            ));
        }
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
            let config = self.config(&event.kept.reference);
            if event.progress.is_too_old(&config, Instant::now()) {
                return self.end(event, Condition::EventAgeExceeded).await;
            }
            let attempt = match self.functions.find(&event.kept.reference) {
                Some(version) => self.attempt(&mut event, &version).await,
                // Its image may come back.
                None if self.functions.exists(&event.kept.reference.name) => Some(Attempt::Refused),
                None => {
                    self.drop_event(&event, "the function is gone").await;
                    return;
                }
            };
            let Some(attempt) = attempt else {
                // It keeps its place, so that it is counted among those that wait.
                return std::future::pending().await;
            };
            let now = Instant::now();
            match event.progress.after(attempt, &config, self.pace, now) {
                Next::Wait(wait) => {
                    if event.kept.runs != event.progress.runs() {
                        event.kept.runs = event.progress.runs();
                        event.kept.not_before = SystemTime::now() + wait;
                        self.keep_progress(&event.kept).await;
                    }
                    tokio::time::sleep(wait).await;
                }
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
        let result = self
            .pools
            .invoke(version, event.kept.invocation.clone())
            .await;
        self.work.send_modify(|work| work.running -= 1);
        Some(match result {
            Ok(result) => event.take_answer(version, &result),
            Err(PoolError::Throttled(Throttle::Reserved)) if version.is_disabled() => {
                Attempt::Disabled
            }
            Err(PoolError::Throttled(_)) => Attempt::Refused,
            Err(error) => {
                if !self.work.borrow().closed {
                    let id = event.kept.invocation.request_id;
                    let name = &event.kept.reference.name;
                    (self.notices)(&format!("{name}: asynchronous event {id}: {error}"));
                }
                Attempt::Refused
            }
        })
    }

    /// Remembers how often an event has run. Without that it may run more often.
    async fn keep_progress(&self, kept: &Kept) {
        if let Err(error) = self.keep(kept).await {
            let (name, id) = (&kept.reference.name, kept.invocation.request_id);
            (self.notices)(&format!(
                "{name}: what became of event {id} cannot be kept: {error}"
            ));
        }
    }

    async fn end(self: &Arc<Self>, event: Event, condition: Condition) {
        self.report(&event, condition).await;
        self.forget(&event.kept).await;
    }

    /// Delivers the record of an event's end.
    async fn report(self: &Arc<Self>, event: &Event, condition: Condition) {
        let counters = self.pools.observer().function(&event.kept.reference.name);
        let config = self.config(&event.kept.reference);
        let destination = if condition == Condition::Success {
            config.on_success
        } else {
            counters.async_event_dropped();
            config.on_failure
        };
        let Some(destination) = destination else {
            return;
        };
        let FunctionReference { name, qualifier } = &event.kept.reference;
        let qualifier = qualifier.as_deref().unwrap_or("$LATEST");
        let arn = self.pools.service().function_arn(name);
        let record = Record {
            at: chrono::Utc::now(),
            request_id: event.kept.invocation.request_id,
            function_arn: &format!("{arn}:{qualifier}"),
            condition,
            runs: event.progress.runs(),
            request: &event.kept.invocation.payload,
            answer: event.answer.as_ref(),
        }
        .to_json();
        if let Err(reason) = self.deliver(&destination, record, &event.kept).await {
            counters.destination_delivery_failed();
            let id = event.kept.invocation.request_id;
            (self.notices)(&format!(
                "{name}: the record of event {id} did not reach {destination}: {reason}"
            ));
        }
    }

    async fn deliver(
        self: &Arc<Self>,
        destination: &Destination,
        record: String,
        cause: &Kept,
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
                let chain = cause.chain;
                if chain >= LONGEST_CHAIN {
                    return Err(format!(
                        "it is record {} in a chain, in which functions are probably each \
                         other's destination",
                        chain + 1
                    ));
                }
                let mut invocation = Invocation::new(Bytes::from(record));
                invocation.trace_id = cause.invocation.trace_id.clone();
                let accepted = self.accept_in_chain(reference, invocation, chain + 1);
                accepted.await.map_err(|refused| refused.to_string())
            }
        }
    }

    async fn drop_event(&self, event: &Event, reason: &str) {
        let name = &event.kept.reference.name;
        self.pools.observer().function(name).async_event_dropped();
        let id = event.kept.invocation.request_id;
        (self.notices)(&format!("{name}: event {id} is dropped: {reason}"));
        self.forget(&event.kept).await;
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
