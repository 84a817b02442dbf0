//! Starting the environment's processes, and what becomes of them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::InitFailure;
use super::super::meter::{self, Meter, Tmp};
use super::super::thrash::Thrash;
use super::{Actor, KILL_LIMIT, Runtime};
use crate::api;
use crate::doctor::tmp_is_charged;
use crate::model::{Ending, Event, ExitStatus, Failure, InitKind, Phase, RuntimeState};
use crate::sandbox::client::SandboxEvent;
use crate::sandbox::{Network, Process, StartError, Started, StorageKind, Streams};
use crate::telemetry;

/// How often a start is tried before the host has failed.
const START_ATTEMPTS: u32 = 3;

impl Actor {
    pub(super) fn start_sandbox(&mut self) {
        if let Phase::Init(kind) = *self.life.phase() {
            let function = &self.settings.function;
            self.emit(&telemetry::Event::InitStart {
                kind,
                function_name: function.function_name.clone(),
                version: function.version,
                memory_size: function.memory_size,
                instance_id: self.instance_id.clone(),
            });
        }
        self.start_processes();
    }

    fn start_processes(&mut self) {
        match self.log_writers() {
            Ok(streams) => {
                self.has_processes = true;
                self.sandbox.start(self.settings.spec.clone(), streams);
            }
            Err(error) => self.fail_host(format!("cannot duplicate the log's pipe: {error}")),
        }
    }

    /// Makes everything ready for a start that may come.
    pub(super) fn prepare_sandbox(&mut self) {
        if *self.life.phase() == Phase::Fresh
            && let Ok(streams) = self.log_writers()
        {
            self.sandbox.prepare(self.settings.spec.clone(), streams);
        }
    }

    /// The writing ends of the runtime's and the extensions' log.
    fn log_writers(&self) -> io::Result<Streams> {
        Ok(Streams::Function {
            log: self.log.writer()?,
            extension_log: self.extension_log.writer()?,
        })
    }

    pub(super) fn on_sandbox(&mut self, event: Option<SandboxEvent>) {
        match event {
            Some(SandboxEvent::Started {
                started,
                listener,
                tmp,
            }) => {
                self.failed_starts = 0;
                if started.storage == StorageKind::ChargedTmpfs {
                    self.warn_once(tmp_is_charged(&self.settings.function));
                }
                match self.sandbox_started(&started, listener, tmp) {
                    Ok(()) => self.handle(Event::Launched(started.extensions)),
                    Err(error) => self.fail_host(format!("cannot watch the function: {error}")),
                }
            }
            Some(SandboxEvent::StartFailed(StartError::Host(_))) if self.starts_again() => {
                self.start_processes();
            }
            Some(SandboxEvent::StartFailed(error)) => {
                self.start_failed(error);
                self.all_ended();
            }
            Some(SandboxEvent::RuntimeStarted(status)) => {
                if let Some(runtime) = &mut self.runtime {
                    runtime.meter.watch(status);
                }
                self.handle(Event::RuntimeStarted);
            }
            Some(SandboxEvent::RuntimeFailed(error)) => self.start_failed(error),
            Some(SandboxEvent::Died) => self.process_died(),
            Some(SandboxEvent::Ended(process, status)) => {
                let ending = self.ending(status);
                if process == Process::Runtime && matches!(self.life.phase(), Phase::Init(_)) {
                    self.init_problem = Some(status.to_string());
                }
                self.read_logs_to_now();
                self.handle(match process {
                    Process::Runtime => Event::RuntimeEnded(ending),
                    Process::Extension(index) => Event::ExtensionEnded(index, ending),
                });
            }
            Some(SandboxEvent::Exited(status)) => {
                if !matches!(self.life.phase(), Phase::Stopping { .. }) {
                    // Init was killed before it could say who had ended.
                    let ending = self.ending(status);
                    self.handle(Event::RuntimeEnded(ending));
                }
                self.all_ended();
            }
            Some(SandboxEvent::Removed) => self.fail_host("the sandbox was removed".to_owned()),
            None => self.fail_host("the launcher is gone".to_owned()),
        }
    }

    /// Whether a start that has failed is tried again. A person or the kernel, for want
    /// of memory, may have killed a process that was making the sandbox, or that stood by
    /// with it: no reason for an invocation to fail. What a host cannot do fails again,
    /// within milliseconds.
    fn starts_again(&mut self) -> bool {
        self.failed_starts += 1;
        self.failed_starts < START_ATTEMPTS && !matches!(self.life.phase(), Phase::Stopping { .. })
    }

    pub(super) fn start_failed(&mut self, error: StartError) {
        let failure = match error {
            StartError::Entrypoint(reason) => Failure::InvalidEntrypoint(reason),
            StartError::WorkingDirectory(reason) => Failure::InvalidWorkingDirectory(reason),
            StartError::Killed => Failure::Exit(ExitStatus::Signal(9)),
            StartError::Host(reason) => return self.fail_host(reason),
        };
        if let Failure::InvalidEntrypoint(reason) | Failure::InvalidWorkingDirectory(reason) =
            &failure
        {
            self.init_problem = Some(reason.clone());
        }
        self.handle(Event::Failed(failure));
    }

    /// A process was killed. In a frozen environment init cannot say which: let it.
    /// Where only v1 has a freezer, a frozen process does not even die.
    fn process_died(&mut self) {
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        runtime.unburied = true;
        if *self.life.phase() == Phase::Idle {
            self.set_frozen(false);
        }
    }

    /// Whether the news of a death is on its way, and init has to run for it.
    pub(super) fn has_unburied(&self) -> bool {
        let runtime = self.runtime.as_ref();
        runtime.is_some_and(|runtime| runtime.unburied)
    }

    /// What the end of a process means. The kernel kills one process for memory;
    /// Lambda's environment dies as a whole.
    pub(super) fn ending(&mut self, status: ExitStatus) -> Ending {
        let out_of_memory = self
            .runtime
            .as_ref()
            .is_some_and(|runtime| runtime.killed_for_memory || runtime.meter.out_of_memory());
        if out_of_memory {
            self.memory_peak = self.settings.spec.memory_bytes;
            return Ending::OutOfMemory;
        }
        Ending::Exit(status)
    }

    /// No process is left.
    pub(super) fn all_ended(&mut self) {
        self.has_processes = false;
        self.kill_deadline = None;
        self.read_logs_to_now();
        self.subscribers.reset();
        self.handle(Event::AllEnded);
        // A successor that was just asked for is known only when it has started.
        self.runtime = None;
    }

    pub(super) fn sandbox_started(
        &mut self,
        started: &Started,
        listener: OwnedFd,
        tmp: OwnedFd,
    ) -> io::Result<()> {
        let network = Network::of(&listener)?;
        let listener = TcpListener::from_std(listener.into())?;
        let cgroup = self.sandbox.cgroup()?;
        self.generation += 1;
        let generation = self.generation;
        let (sender, mut receiver) = mpsc::channel(16);
        let calls = self.calls.clone();
        let server = tokio::spawn(async move {
            let number = async move {
                while let Some(call) = receiver.recv().await {
                    if calls.send((generation, call)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::join!(api::serve(listener, sender), number);
        });
        let since = crate::sandbox::monotonic_ns().saturating_sub(started.at_ns);
        let now = Instant::now();
        let tmp = Tmp {
            empty: *self
                .tmp_empty
                .get_or_insert_with(|| meter::occupied(tmp.as_fd())),
            directory: tmp.into(),
            charged: started.storage == StorageKind::ChargedTmpfs,
        };
        let meter = Meter::new(cgroup, tmp);
        let init_started = now.checked_sub(Duration::from_nanos(since)).unwrap_or(now);
        if matches!(self.life.phase(), Phase::Init(InitKind::OnDemand)) {
            // Armed when the start was asked for; the limit is the function's.
            self.deadline = Some(init_started + self.settings.init_limit());
        }
        let debug = self.settings.debug.as_ref().map(|port| {
            let port = Arc::clone(port);
            tokio::spawn(port.forward(network.clone()))
        });
        self.runtime = Some(Runtime {
            state: RuntimeState::Started,
            meter,
            thrash: Thrash::default(),
            server,
            debug,
            network,
            init_started,
            pending_next: None,
            posting: None,
            init_error: None,
            killed_for_memory: false,
            unburied: false,
            extensions: HashMap::new(),
        });
        Ok(())
    }

    /// What was killed does not end. Its invocation is not waited for any longer; the
    /// launcher removes the environment when it can.
    pub(super) fn give_up(&mut self) {
        self.kill_deadline = None;
        let reason = format!(
            "a process of the environment was killed {} seconds ago and has not ended: it is \
             frozen by somebody else, or waits for a disk or a file system that does not answer",
            KILL_LIMIT.as_secs()
        );
        let name = &self.settings.function.function_name;
        self.settings
            .sink
            .notice(&format!("warning: {name}: {reason}"));
        self.fail_host(reason);
    }

    pub(super) fn fail_host(&mut self, reason: String) {
        self.tell_initialised(Err(InitFailure::Host(reason.clone())));
        self.host_failure = Some(reason);
        self.handle(Event::HostFailed);
    }
}
