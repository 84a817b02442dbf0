//! Who gets an environment's events beside its log: extensions that have subscribed.
//!
//! Each has a bounded queue, and a task that delivers what is in it
//! ([`super::delivery`]): whatever a subscriber does, the function does not wait for
//! it. Subscribers end with the processes that they are part of.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::delivery;
use super::queue::{Pace, Queue};
use crate::sandbox::Network;
use crate::telemetry::{Api, Dropped, Event, Subscription, SubscriptionError, delivered};

/// All subscribers of an environment.
#[derive(Debug)]
pub(super) struct Subscribers {
    /// The function writes JSON, and says so.
    structured: bool,
    /// What has happened since the last processes ended, for those who subscribe
    /// later; none when subscriptions are closed.
    replay: Option<Replay>,
    list: Vec<Subscriber>,
    pace: watch::Sender<Pace>,
    /// Who hears of what was lost.
    losses: mpsc::UnboundedSender<Dropped>,
}

#[derive(Debug)]
struct Subscriber {
    name: String,
    subscription: Subscription,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The events of INIT, as many as the largest batch may have.
#[derive(Debug, Default)]
struct Replay {
    events: Vec<(SystemTime, Event)>,
    bytes: usize,
    lost: Dropped,
}

/// Events that are kept for later subscribers.
const REPLAY_EVENTS: usize = 10_000;

/// Bytes of their lines.
const REPLAY_BYTES: usize = 1024 * 1024;

impl Replay {
    fn push(&mut self, at: SystemTime, event: &Event) {
        let bytes = match event {
            Event::Function(line) | Event::ExtensionLine(line) => line.len(),
            _ => 0,
        };
        if self.events.len() >= REPLAY_EVENTS || self.bytes + bytes > REPLAY_BYTES {
            self.lost.add(Dropped {
                records: 1,
                bytes: bytes as u64,
            });
            return;
        }
        self.bytes += bytes;
        self.events.push((at, event.clone()));
    }
}

impl Subscribers {
    /// Nobody yet. `losses` hears of what subscribers have lost: of each of them, once
    /// for a batch.
    pub(super) fn new(structured: bool, losses: mpsc::UnboundedSender<Dropped>) -> Self {
        Self {
            structured,
            replay: Some(Replay::default()),
            list: vec![],
            pace: watch::Sender::new(Pace::Running),
            losses,
        }
    }

    /// Something happened at this moment. Never waits.
    pub(super) fn emit(&mut self, event: &Event, at: SystemTime) {
        for subscriber in &self.list {
            subscriber.push(at, event, self.structured);
        }
        if let Some(replay) = &mut self.replay {
            replay.push(at, event);
        }
    }

    /// The extension `name` subscribes, or does so again: then it gets what there was
    /// once more, in the new form.
    ///
    /// # Errors
    /// It has subscribed by the other interface.
    pub(super) fn subscribe(
        &mut self,
        name: &str,
        subscription: Subscription,
        network: &Network,
    ) -> Result<(), SubscriptionError> {
        let own = self.list.iter().position(|other| other.name == name);
        if let Some(other) = own.map(|own| self.list[own].subscription.api)
            && other != subscription.api
        {
            return Err(SubscriptionError::Invalid(
                subscription.api,
                format!(
                    "{name} is subscribed by the {other} already; an extension can use either \
                     the {} or the {}",
                    Api::Telemetry,
                    Api::Logs
                ),
            ));
        }
        let queue = Arc::new(Queue::new(subscription.buffering));
        let task = tokio::spawn(delivery::run(
            Arc::clone(&queue),
            subscription.clone(),
            network.clone(),
            self.pace.subscribe(),
            self.losses.clone(),
        ));
        let subscriber = Subscriber {
            name: name.to_owned(),
            subscription,
            queue,
            task,
        };
        if let Some(replay) = &self.replay {
            for (at, event) in &replay.events {
                subscriber.push(*at, event, self.structured);
            }
            subscriber.queue.lose(replay.lost);
        }
        match own {
            Some(own) => self.list[own] = subscriber,
            None => self.list.push(subscriber),
        }
        Ok(())
    }

    /// INIT is over: nobody subscribes any more.
    pub(super) fn close(&mut self) {
        self.replay = None;
    }

    /// The environment's processes are gone, and subscribers with them.
    pub(super) fn reset(&mut self) {
        self.list.clear();
        self.replay.get_or_insert_default();
        self.pace.send_replace(Pace::Running);
    }

    pub(super) fn set_pace(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    /// What waits until everything has been delivered, or lost; nothing if that is so
    /// already.
    pub(super) fn unsettled(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let queues: Vec<_> = self
            .list
            .iter()
            .map(|subscriber| subscriber.queue.settled())
            .filter(|settled| !*settled.borrow())
            .collect();
        (!queues.is_empty()).then_some(async {
            for mut queue in queues {
                // One whose task is gone has nothing to deliver.
                let _ = queue.wait_for(|settled| *settled).await;
            }
        })
    }
}

impl Subscriber {
    fn push(&self, at: SystemTime, event: &Event, structured: bool) {
        let Subscription { schema, types, .. } = &self.subscription;
        for line in delivered(at, event, *schema, types, structured) {
            self.queue.push(line);
        }
    }
}
