//! The actor of an environment. It turns everything that happens into events of
//! the phase machine and performs the effects, one after the other; so there is
//! one order of things, and nothing is shared.

mod calls;
mod reports;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::log::FunctionLog;
use super::meter::{self, Meter, Tmp};
use super::thrash::Thrash;
use super::{
    Command, EnvironmentGone, EnvironmentSettings, InitFailure, Invocation, InvocationResult,
    Outcome,
};
use crate::api::{self, ApiCall, ApiError, NextEvent, Posting};
use crate::doctor::tmp_is_charged;
use crate::model::{
    Deadline, Effect, Event, ExitStatus, Failure, InitKind, Phase, RequestId, RuntimeState,
};
use crate::sandbox::client::{Sandbox, SandboxEvent};
use crate::sandbox::{StartError, Started, StorageKind};
use crate::telemetry;

/// Lambda's limit for an on-demand INIT.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// Lambda's limit for an INIT with provisioned concurrency, unless the function's
/// timeout is longer.
const PROVISIONED_INIT_LIMIT: Duration = Duration::from_secs(130);

/// How often memory is looked at while something runs.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// Runs an environment until its handle is dropped, then removes it.
pub(super) async fn run(
    settings: EnvironmentSettings,
    sandbox: Sandbox,
    mut events: mpsc::UnboundedReceiver<SandboxEvent>,
    mut commands: mpsc::Receiver<Command>,
) {
    let log = match FunctionLog::new() {
        Ok(log) => log,
        Err(error) => {
            tracing::error!(%error, "cannot create a pipe for a function's log");
            return;
        }
    };
    let (calls_sender, mut calls) = mpsc::channel(16);
    let mut actor = Actor {
        settings,
        sandbox,
        log,
        calls: calls_sender,
        phase: Phase::Fresh,
        runtime: None,
        generation: 0,
        waiting: VecDeque::new(),
        warnings: vec![],
        memory_peak: 0,
        tmp_empty: None,
        deadline: None,
        open: None,
        initialised: None,
        host_failure: None,
    };
    let mut sampler = tokio::time::interval(SAMPLE_INTERVAL);
    sampler.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ending = false;
    while actor.phase != Phase::Gone {
        actor.accept_waiting();
        let busy = actor.phase.is_active();
        let deadline = actor.deadline;
        tokio::select! {
            command = commands.recv(), if !ending => match command {
                Some(Command::Invoke(invocation, reply)) => {
                    actor.waiting.push_back((invocation, reply));
                }
                Some(Command::Initialise(reply)) => {
                    actor.initialised = Some(reply);
                    actor.handle(Event::Initialise);
                }
                None => {
                    ending = true;
                    actor.handle(Event::Shutdown);
                }
            },
            event = events.recv() => actor.on_sandbox(event),
            Some(call) = calls.recv() => actor.on_call(call),
            () = actor.log.readable(), if busy && actor.settings.sink.has_room() => {
                actor.read_log();
                // A pipe that never runs empty is always readable: without this
                // the loop would not get back to timers and sockets.
                tokio::task::yield_now().await;
            }
            () = sleep_until(deadline), if deadline.is_some() => {
                actor.deadline = None;
                actor.handle(Event::DeadlinePassed);
            }
            _ = sampler.tick(), if busy => actor.sample(),
        }
    }
    actor.runtime = None;
    actor.sandbox.remove();
    while let Some(event) = events.recv().await {
        if matches!(event, SandboxEvent::Removed) {
            break;
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

/// Where the result of an invocation goes.
type ReplySender = oneshot::Sender<Result<InvocationResult, EnvironmentGone>>;

/// A call from the server of one runtime's socket, with the number of that
/// runtime: what a dead one still had in flight must not reach its successor.
type NumberedCall = (u64, ApiCall);

struct Actor {
    settings: EnvironmentSettings,
    sandbox: Sandbox,
    log: FunctionLog,
    calls: mpsc::Sender<NumberedCall>,
    phase: Phase,
    runtime: Option<Runtime>,
    /// The number of the runtime that was started last.
    generation: u64,
    /// Invocations behind the open one.
    waiting: VecDeque<(Invocation, ReplySender)>,
    /// Limits that turned out not to be enforced, each said once.
    warnings: Vec<String>,
    memory_peak: u64,
    /// Bytes that the file system of `/tmp` takes for itself.
    tmp_empty: Option<u64>,
    deadline: Option<Instant>,
    open: Option<OpenInvocation>,
    /// Who waits for an INIT ahead of invocations.
    initialised: Option<oneshot::Sender<Result<(), InitFailure>>>,
    /// Why the host failed, for the caller.
    host_failure: Option<String>,
}

/// The runtime process, from the time that its entry point runs.
struct Runtime {
    state: RuntimeState,
    meter: Meter,
    thrash: Thrash,
    server: JoinHandle<()>,
    init_started: Instant,
    pending_next: Option<oneshot::Sender<Result<Arc<NextEvent>, ApiError>>>,
    posting: Option<Posting>,
    init_error: Option<Bytes>,
    killed_for_memory: bool,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The invocation that the environment works on.
struct OpenInvocation {
    invocation: Invocation,
    event: Option<Arc<NextEvent>>,
    reply: ReplySender,
    cold_start: bool,
    init_duration: Option<Duration>,
    /// When the invocation's clock started.
    started: Option<Instant>,
    /// What the runtime posted, until it becomes the outcome.
    posted: Option<Outcome>,
    outcome: Option<Outcome>,
    logs: Vec<u8>,
}

impl Actor {
    /// Opens the next invocation if one waits and the phase allows it.
    fn accept_waiting(&mut self) {
        if !self.phase.accepts_invocation() {
            return;
        }
        let Some((invocation, reply)) = self.waiting.pop_front() else {
            return;
        };
        self.open = Some(OpenInvocation {
            invocation,
            event: None,
            reply,
            cold_start: self.phase != Phase::Idle,
            init_duration: None,
            started: None,
            posted: None,
            outcome: None,
            logs: vec![],
        });
        self.handle(Event::Invoke);
    }

    /// Feeds the phase machine and does what it says.
    fn handle(&mut self, event: Event) {
        let phase = std::mem::replace(&mut self.phase, Phase::Gone);
        let (phase, effects) = phase.on(event);
        tracing::debug!(?phase, ?effects, "phase");
        self.phase = phase;
        let warm = self.phase.is_warm();
        self.settings.warm.store(warm, Ordering::Relaxed);
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::StartRuntime => self.start_runtime(),
            Effect::KillRuntime => {
                self.sample_memory();
                self.sandbox.kill();
            }
            Effect::Thaw => self.set_frozen(false),
            Effect::Freeze => {
                self.read_log_to_now();
                self.set_frozen(true);
            }
            Effect::LimitCpu => self.limit_cpu(),
            Effect::Arm(deadline) => self.arm(deadline),
            Effect::Disarm => self.deadline = None,
            Effect::InitSucceeded => {
                let elapsed = self
                    .runtime
                    .as_ref()
                    .map(|runtime| runtime.init_started.elapsed());
                if let Some(open) = &mut self.open {
                    open.init_duration = elapsed;
                }
            }
            Effect::ReportInit(kind, status) => self.report_init(kind, status),
            Effect::BeginInvoke => {
                self.read_log_to_now();
                self.sample_memory();
                if let Some(request_id) = self.request_id() {
                    let version = self.settings.function.version;
                    self.emit(&telemetry::Event::Start {
                        request_id,
                        version,
                    });
                }
                if let Some(runtime) = &mut self.runtime {
                    runtime.meter.reset_cpu();
                }
            }
            Effect::HandOut => self.hand_out(),
            Effect::Reply(answer) => self.answer(answer),
            Effect::EndInvoke(status) => self.end_invoke(status),
            Effect::Abandon => self.abandon(),
        }
    }

    // Starting and stopping.

    fn start_runtime(&mut self) {
        match self.log.writer() {
            Ok(writer) => self.sandbox.start(self.settings.spec.clone(), writer),
            Err(error) => self.fail_host(format!("cannot duplicate the log's pipe: {error}")),
        }
    }

    fn on_sandbox(&mut self, event: Option<SandboxEvent>) {
        match event {
            Some(SandboxEvent::Started {
                started,
                listener,
                tmp,
                status,
            }) => {
                if started.storage == StorageKind::ChargedTmpfs {
                    self.warn_once(tmp_is_charged(&self.settings.function));
                }
                if let Err(error) = self.runtime_started(&started, listener, tmp, status) {
                    self.fail_host(format!("cannot watch the function: {error}"));
                }
            }
            Some(SandboxEvent::StartFailed(error)) => match error {
                StartError::Entrypoint(reason) => {
                    self.runtime_ended(Failure::InvalidEntrypoint(reason));
                }
                StartError::WorkingDirectory(reason) => {
                    self.runtime_ended(Failure::InvalidWorkingDirectory(reason));
                }
                StartError::Killed => self.runtime_ended(Failure::Exit(ExitStatus::Signal(9))),
                StartError::Host(reason) => self.fail_host(reason),
            },
            Some(SandboxEvent::Exited(status)) => {
                let out_of_memory = self.runtime.as_ref().is_some_and(|runtime| {
                    runtime.killed_for_memory || runtime.meter.out_of_memory()
                });
                self.runtime_ended(if out_of_memory {
                    Failure::OutOfMemory
                } else {
                    Failure::Exit(status)
                });
            }
            Some(SandboxEvent::Removed) => self.fail_host("the sandbox was removed".to_owned()),
            None => self.fail_host("the launcher is gone".to_owned()),
        }
    }

    fn runtime_started(
        &mut self,
        started: &Started,
        listener: OwnedFd,
        tmp: OwnedFd,
        status: OwnedFd,
    ) -> std::io::Result<()> {
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
            directory: tmp,
            charged: started.storage == StorageKind::ChargedTmpfs,
        };
        let meter = Meter::new(cgroup, status, tmp);
        let init_started = now.checked_sub(Duration::from_nanos(since)).unwrap_or(now);
        if matches!(self.phase, Phase::Init(InitKind::OnDemand)) {
            // Armed when the start was asked for; the limit is the function's.
            self.deadline = Some(init_started + INIT_LIMIT);
        }
        self.runtime = Some(Runtime {
            state: RuntimeState::Started,
            meter,
            thrash: Thrash::default(),
            server,
            init_started,
            pending_next: None,
            posting: None,
            init_error: None,
            killed_for_memory: false,
        });
        Ok(())
    }

    /// The runtime is gone, with everything that it started.
    fn runtime_ended(&mut self, failure: Failure) {
        if failure == Failure::OutOfMemory {
            self.memory_peak = self.settings.spec.memory_bytes;
        }
        self.read_log_to_now();
        self.handle(Event::RuntimeEnded(failure));
        // A successor that was just asked for is known only when it has started.
        self.runtime = None;
    }

    fn fail_host(&mut self, reason: String) {
        if let Some(waiting) = self.initialised.take() {
            // Whoever asked may be gone.
            let _ = waiting.send(Err(InitFailure::Host(reason.clone())));
        }
        self.host_failure = Some(reason);
        self.handle(Event::HostFailed);
    }

    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        let gone = self
            .host_failure
            .take()
            .map_or_else(EnvironmentGone::ended, EnvironmentGone::new);
        let _ = open.reply.send(Err(gone));
    }

    // Limits and meters.

    fn limit_cpu(&mut self) {
        let quota = self.settings.function.memory_size.cpu_quota_us();
        let Some(runtime) = &self.runtime else { return };
        if let Err(error) = runtime.meter.cgroup().set_cpu_quota(quota) {
            self.warn_once(format!("the CPU quota could not be set: {error}"));
        }
    }

    fn set_frozen(&mut self, frozen: bool) {
        let Some(runtime) = &self.runtime else { return };
        if let Err(error) = runtime.meter.cgroup().set_frozen(frozen) {
            self.warn_once(format!("the environment could not be frozen: {error}"));
        }
    }

    fn warn_once(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn arm(&mut self, deadline: Deadline) {
        let now = Instant::now();
        let limit = match deadline {
            Deadline::Init => INIT_LIMIT,
            Deadline::ProvisionedInit => {
                PROVISIONED_INIT_LIMIT.max(self.settings.function.timeout.duration())
            }
            Deadline::Invoke => {
                if let Some(open) = &mut self.open {
                    open.started = Some(now);
                }
                self.settings.function.timeout.duration()
            }
        };
        self.deadline = Some(now + limit);
    }

    fn sample(&mut self) {
        let limit = self.settings.spec.memory_bytes;
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        let reading = runtime.meter.memory();
        self.memory_peak = runtime.meter.memory_peak(self.memory_peak, &reading);
        if runtime.killed_for_memory {
            return;
        }
        // The kernel kills one process; Lambda's environment dies as a whole.
        let starving = runtime.thrash.observe(Instant::now(), limit, &reading);
        if starving || runtime.meter.out_of_memory() {
            runtime.killed_for_memory = true;
            self.sandbox.kill();
        }
    }

    fn sample_memory(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            let reading = runtime.meter.memory();
            self.memory_peak = runtime.meter.memory_peak(self.memory_peak, &reading);
        }
    }

    fn request_id(&self) -> Option<RequestId> {
        self.open.as_ref().map(|open| open.invocation.request_id)
    }
}
