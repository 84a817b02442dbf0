//! What extensions ask of the Extensions API, and what they are told.

use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Actor;
use super::calls::deadline_on_the_clock;
use crate::api::{EventForExtension, ExtensionRequest, Registered, SubscribeRefusal};
use crate::model::{ExtensionError, ExtensionIndex, ExtensionInfo, Package};
use crate::telemetry::{self, Subscription, SubscriptionError};

/// How long SHUTDOWN waits for the delivery of what was before it.
const LAST_BATCH_LIMIT: Duration = Duration::from_millis(300);

/// An extension that waits in `next`.
pub(super) type NextSender = oneshot::Sender<Result<EventForExtension, ExtensionError>>;

impl Actor {
    pub(super) fn on_extension(&mut self, request: ExtensionRequest) {
        // Whoever has hung up gets no answer.
        match request {
            ExtensionRequest::Register(name, events, answer) => {
                let registered = self.life.register(&name, &events);
                let (identifier, effects) = match registered {
                    Ok(registered) => registered,
                    Err(error) => return drop(answer.send(Err(error))),
                };
                let function = &self.settings.function;
                let _ = answer.send(Ok(Registered {
                    identifier,
                    function_name: function.function_name.to_string(),
                    function_version: function.version.to_string(),
                    handler: self.handler(),
                }));
                self.perform_all(effects);
            }
            ExtensionRequest::Next(identifier, answer) => {
                let (index, effects) = match self.life.extension_next(identifier) {
                    Ok(waiting) => waiting,
                    Err(error) => return drop(answer.send(Err(error))),
                };
                if let Some(runtime) = &mut self.runtime {
                    runtime.extensions.insert(index, answer);
                }
                self.perform_all(effects);
            }
            ExtensionRequest::Subscribe(identifier, subscription, answer) => {
                let _ = answer.send(self.subscribe(identifier, subscription));
            }
            ExtensionRequest::Report(fault, identifier, error_type, answer) => {
                let error_type = error_type.as_deref();
                let reported = self.life.extension_error(fault, identifier, error_type);
                let _ = answer.send(reported);
            }
        }
    }

    /// An extension subscribes to events, by what it has asked for.
    fn subscribe(
        &mut self,
        identifier: Uuid,
        subscription: Result<Subscription, SubscriptionError>,
    ) -> Result<(), SubscribeRefusal> {
        let (name, open) = self
            .life
            .extension(identifier)
            .ok_or(ExtensionError::UnknownExtension(identifier))?;
        let name = name.to_owned();
        let subscription = subscription?;
        let api = subscription.api;
        let types = subscription.types.clone();
        let runtime = self.runtime.as_ref().filter(|_| open);
        let runtime = runtime.ok_or(SubscriptionError::Closed(api))?;
        self.subscribers
            .subscribe(&name, subscription, &runtime.network)?;
        self.emit(&telemetry::Event::Subscribed { api, name, types });
        Ok(())
    }

    /// The handler of a zip function. Of an image's, Lambda's own emulator takes the
    /// last argument of the command, and so does this.
    fn handler(&self) -> String {
        match &self.settings.function.package {
            Package::Zip { handler, .. } => handler.clone(),
            Package::Image => match self.settings.spec.args.as_slice() {
                [_, .., last] => last.clone(),
                _ => String::new(),
            },
        }
    }

    /// Gives INVOKE to extensions that wait for it.
    pub(super) fn tell_invoke(&mut self, list: &[ExtensionIndex]) {
        let Some(open) = &self.open else { return };
        let event = EventForExtension::Invoke {
            deadline: deadline_on_the_clock(self.deadline),
            request_id: open.invocation.request_id,
            function_arn: self.settings.function_arn.clone(),
            trace_id: open.invocation.trace_id.to_string(),
        };
        self.tell(list, &event);
    }

    /// Gives SHUTDOWN to extensions that wait for it. Its deadline is the armed one.
    /// What subscribers have not got yet goes first: with SHUTDOWN they may end.
    pub(super) fn tell_shutdown(&mut self, list: &[ExtensionIndex]) {
        let Some((_, reason)) = self.stop else { return };
        let deadline = deadline_on_the_clock(self.deadline);
        let event = EventForExtension::Shutdown { deadline, reason };
        let Some(unsettled) = self.subscribers.unsettled() else {
            return self.tell(list, &event);
        };
        let waiting = self.waiting_in_next(list);
        tokio::spawn(async move {
            // Whether it came in time or not, they have to be told.
            let _ = tokio::time::timeout(LAST_BATCH_LIMIT, unsettled).await;
            for answer in waiting {
                // One that has hung up misses it.
                let _ = answer.send(Ok(event.clone()));
            }
        });
    }

    fn tell(&mut self, list: &[ExtensionIndex], event: &EventForExtension) {
        for answer in self.waiting_in_next(list) {
            // One that has hung up misses it.
            let _ = answer.send(Ok(event.clone()));
        }
    }

    fn waiting_in_next(&mut self, list: &[ExtensionIndex]) -> Vec<NextSender> {
        let Some(runtime) = &mut self.runtime else {
            return vec![];
        };
        list.iter()
            .filter_map(|index| runtime.extensions.remove(index))
            .collect()
    }

    /// Logs what became of the extensions in INIT.
    pub(super) fn report_extensions(&mut self, infos: Vec<ExtensionInfo>) {
        self.read_logs_to_now();
        for info in infos {
            self.emit(&telemetry::Event::Extension(info));
        }
    }
}
