//! What extensions ask of the Extensions API, and what they are told.

use tokio::sync::oneshot;

use super::Actor;
use super::calls::deadline_on_the_clock;
use crate::api::{EventForExtension, ExtensionRequest, Registered};
use crate::model::{ExtensionError, ExtensionIndex, ExtensionInfo, Package};
use crate::telemetry;

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
            ExtensionRequest::Report(fault, identifier, error_type, answer) => {
                let error_type = error_type.as_deref();
                let reported = self.life.extension_error(fault, identifier, error_type);
                let _ = answer.send(reported);
            }
        }
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
            trace_id: open.invocation.trace_id.as_str().to_owned(),
        };
        self.tell(list, &event);
    }

    /// Gives SHUTDOWN to extensions that wait for it. Its deadline is the armed one.
    pub(super) fn tell_shutdown(&mut self, list: &[ExtensionIndex]) {
        let Some((_, reason)) = self.stop else { return };
        let deadline = deadline_on_the_clock(self.deadline);
        self.tell(list, &EventForExtension::Shutdown { deadline, reason });
    }

    fn tell(&mut self, list: &[ExtensionIndex], event: &EventForExtension) {
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        for index in list {
            if let Some(answer) = runtime.extensions.remove(index) {
                // One that has hung up misses it.
                let _ = answer.send(Ok(event.clone()));
            }
        }
    }

    /// Logs what became of the extensions in INIT.
    pub(super) fn report_extensions(&mut self, infos: Vec<ExtensionInfo>) {
        self.read_logs_to_now();
        for info in infos {
            self.emit(&telemetry::Event::Extension(info));
        }
    }
}
