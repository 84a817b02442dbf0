//! The actor of an environment. It turns everything that happens into events of
//! the phase machine and performs the effects, one after the other; so there is
//! one order of things, and nothing is shared.

mod calls;
mod extensions;
mod reports;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::log::FunctionLog;
use super::meter::{self, Meter, Tmp};
use super::subscribers::{Pace, Subscribers};
use super::thrash::Thrash;
use super::timing::{Moment, Timing};
use super::{
    Command, EnvironmentGone, EnvironmentSettings, InitFailure, Invocation, Outcome, Reply,
};
use crate::api::{self, ApiCall, ApiError, NextEvent, Posting};
use crate::doctor::tmp_is_charged;
use crate::model::{
    Deadline, Effect, Ending, Event, ExitStatus, ExtensionIndex, Failure, InitKind, Lifecycle,
    Phase, RuntimeState, ShutdownReason,
};
use crate::sandbox::client::{Sandbox, SandboxEvent};
use crate::sandbox::{Network, Process, StartError, Started, StopSignal, StorageKind};
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
    mut closing: watch::Receiver<bool>,
) {
    let logs = FunctionLog::new().and_then(|log| Ok((log, FunctionLog::new()?)));
    let (log, extension_log) = match logs {
        Ok(logs) => logs,
        Err(error) => {
            tracing::error!(%error, "cannot create a pipe for a function's log");
            return;
        }
    };
    let (calls_sender, mut calls) = mpsc::channel(16);
    let structured = settings.function.logging.is_json();
    let mut actor = Actor {
        settings,
        sandbox,
        instance_id: uuid::Uuid::new_v4().to_string(),
        subscribers: Subscribers::new(structured),
        log,
        extension_log,
        calls: calls_sender,
        life: Lifecycle::default(),
        has_processes: false,
        runtime: None,
        generation: 0,
        waiting: VecDeque::new(),
        warnings: vec![],
        memory_peak: 0,
        tmp_empty: None,
        deadline: None,
        stop: None,
        open: None,
        initialised: None,
        host_failure: None,
    };
    let mut sampler = tokio::time::interval(SAMPLE_INTERVAL);
    sampler.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ending = false;
    while *actor.life.phase() != Phase::Gone {
        actor.accept_waiting();
        // Processes may run: there is something to read, and to measure.
        let busy = !actor.life.phase().accepts_invocation();
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
            () = closed(&mut closing), if !ending => {
                ending = true;
                actor.handle(Event::Shutdown);
            }
            event = events.recv() => actor.on_sandbox(event),
            Some(call) = calls.recv() => actor.on_call(call),
            () = readable(&actor.log, &actor.extension_log),
                if busy && actor.settings.sink.has_room() =>
            {
                actor.read_logs();
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

/// Waits until the service ends, or is gone.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Waits until there is something to read in either.
async fn readable(one: &FunctionLog, other: &FunctionLog) {
    tokio::select! {
        () = one.readable() => {}
        () = other.readable() => {}
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

/// A call from the server of one runtime's socket, with the number of that
/// runtime: what a dead one still had in flight must not reach its successor.
type NumberedCall = (u64, ApiCall);

struct Actor {
    settings: EnvironmentSettings,
    sandbox: Sandbox,
    /// Names the environment in `platform.initStart`.
    instance_id: String,
    subscribers: Subscribers,
    log: FunctionLog,
    extension_log: FunctionLog,
    calls: mpsc::Sender<NumberedCall>,
    life: Lifecycle,
    /// The sandbox was started, and its end is not yet known.
    has_processes: bool,
    runtime: Option<Runtime>,
    /// The number of the start whose processes run, or ran last.
    generation: u64,
    /// Invocations behind the open one.
    waiting: VecDeque<(Invocation, Reply)>,
    /// Limits that turned out not to be enforced, each said once.
    warnings: Vec<String>,
    memory_peak: u64,
    /// Bytes that the file system of `/tmp` takes for itself.
    tmp_empty: Option<u64>,
    deadline: Option<Instant>,
    /// When SHUTDOWN began, and why.
    stop: Option<(Instant, ShutdownReason)>,
    open: Option<OpenInvocation>,
    /// Who waits for an INIT ahead of invocations.
    initialised: Option<oneshot::Sender<Result<(), InitFailure>>>,
    /// Why the host failed, for the caller.
    host_failure: Option<String>,
}

/// The processes of the environment, from the time that the first of them runs.
struct Runtime {
    state: RuntimeState,
    meter: Meter,
    thrash: Thrash,
    server: JoinHandle<()>,
    /// Where subscribers listen.
    network: Network,
    init_started: Instant,
    pending_next: Option<oneshot::Sender<Result<Arc<NextEvent>, ApiError>>>,
    posting: Option<Posting>,
    init_error: Option<Bytes>,
    killed_for_memory: bool,
    /// Extensions that wait in `next`.
    extensions: HashMap<ExtensionIndex, extensions::NextSender>,
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
    reply: Reply,
    cold_start: bool,
    init_duration: Option<Duration>,
    /// When the invocation's clock started.
    started: Option<Instant>,
    timing: Timing,
    /// Bytes that the runtime has posted.
    produced_bytes: u64,
    /// What the runtime posted, until it becomes the outcome.
    posted: Option<Outcome>,
    outcome: Option<Outcome>,
    /// That the runtime is done has been said.
    runtime_done: bool,
    logs: Vec<u8>,
}

impl Actor {
    /// Opens the next invocation if one waits and the phase allows it.
    fn accept_waiting(&mut self) {
        if !self.life.phase().accepts_invocation() {
            return;
        }
        let Some((invocation, reply)) = self.waiting.pop_front() else {
            return;
        };
        self.open = Some(OpenInvocation {
            invocation,
            event: None,
            reply,
            cold_start: *self.life.phase() != Phase::Idle,
            init_duration: None,
            started: None,
            timing: Timing::default(),
            produced_bytes: 0,
            posted: None,
            outcome: None,
            runtime_done: false,
            logs: vec![],
        });
        self.handle(Event::Invoke);
    }

    /// Feeds the machine of the environment's life and does what it says.
    fn handle(&mut self, event: Event) {
        let effects = self.life.on(event);
        self.perform_all(effects);
    }

    fn perform_all(&mut self, effects: Vec<Effect>) {
        tracing::debug!(phase = ?self.life.phase(), ?effects, "phase");
        let warm = self.life.phase().is_warm();
        self.settings.warm.store(warm, Ordering::Relaxed);
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start => self.start_sandbox(),
            Effect::StartRuntime => self.sandbox.start_runtime(),
            Effect::BeginStop(reason) => {
                self.subscribers.set_pace(Pace::Ending);
                self.stop = Some((Instant::now(), reason));
            }
            Effect::TerminateRuntime => {
                self.sandbox.signal(Process::Runtime, StopSignal::Terminate);
            }
            Effect::KillRuntime => self.sandbox.signal(Process::Runtime, StopSignal::Kill),
            Effect::KillExtensions(list) => {
                for index in list {
                    let process = Process::Extension(index);
                    self.sandbox.signal(process, StopSignal::Kill);
                }
            }
            Effect::KillAll => {
                self.sample_memory();
                if self.has_processes {
                    self.sandbox.kill();
                }
            }
            Effect::Thaw => self.set_frozen(false),
            Effect::Freeze => {
                self.read_logs_to_now();
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
            Effect::ReportExtensions(infos) => self.report_extensions(infos),
            Effect::ReportInit(kind, status) => self.report_init(kind, &status),
            Effect::BeginInvoke => {
                self.read_logs_to_now();
                self.sample_memory();
                if let Some(open) = &self.open {
                    let start = telemetry::Event::Start {
                        request_id: open.invocation.request_id,
                        version: self.settings.function.version,
                        trace_id: open.invocation.trace_id.clone(),
                    };
                    self.emit(&start);
                }
                if let Some(runtime) = &mut self.runtime {
                    runtime.meter.reset_cpu();
                }
            }
            Effect::HandOut => self.hand_out(),
            Effect::TellInvoke(list) => self.tell_invoke(&list),
            Effect::TellShutdown(list) => self.tell_shutdown(&list),
            Effect::Reply(answer) => self.answer(answer),
            Effect::RuntimeDone(status) => self.runtime_done(status),
            Effect::AwaitExtensions => {
                let open = self.open.as_mut();
                if let Some(overhead) = open.and_then(|open| open.reply.overhead.take()) {
                    // A caller that has left does not need to know.
                    let _ = overhead.send(());
                }
            }
            Effect::EndInvoke(status) => self.end_invoke(status),
            Effect::Abandon => self.abandon(),
        }
    }

    // Starting and stopping.

    fn start_sandbox(&mut self) {
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
        let logs = self.log.writer();
        match logs.and_then(|log| Ok((log, self.extension_log.writer()?))) {
            Ok((log, extension_log)) => {
                self.has_processes = true;
                self.sandbox
                    .start(self.settings.spec.clone(), log, extension_log);
            }
            Err(error) => self.fail_host(format!("cannot duplicate the log's pipe: {error}")),
        }
    }

    fn on_sandbox(&mut self, event: Option<SandboxEvent>) {
        match event {
            Some(SandboxEvent::Started {
                started,
                listener,
                tmp,
            }) => {
                if started.storage == StorageKind::ChargedTmpfs {
                    self.warn_once(tmp_is_charged(&self.settings.function));
                }
                match self.sandbox_started(&started, listener, tmp) {
                    Ok(()) => self.handle(Event::Launched(started.extensions)),
                    Err(error) => self.fail_host(format!("cannot watch the function: {error}")),
                }
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
            Some(SandboxEvent::Ended(process, status)) => {
                let ending = self.ending(status);
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

    fn start_failed(&mut self, error: StartError) {
        let failure = match error {
            StartError::Entrypoint(reason) => Failure::InvalidEntrypoint(reason),
            StartError::WorkingDirectory(reason) => Failure::InvalidWorkingDirectory(reason),
            StartError::Killed => Failure::Exit(ExitStatus::Signal(9)),
            StartError::Host(reason) => return self.fail_host(reason),
        };
        self.handle(Event::Failed(failure));
    }

    /// What the end of a process means. The kernel kills one process for memory;
    /// Lambda's environment dies as a whole.
    fn ending(&mut self, status: ExitStatus) -> Ending {
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
    fn all_ended(&mut self) {
        self.has_processes = false;
        self.read_logs_to_now();
        self.subscribers.reset();
        self.handle(Event::AllEnded);
        // A successor that was just asked for is known only when it has started.
        self.runtime = None;
    }

    fn sandbox_started(
        &mut self,
        started: &Started,
        listener: OwnedFd,
        tmp: OwnedFd,
    ) -> std::io::Result<()> {
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
            directory: tmp,
            charged: started.storage == StorageKind::ChargedTmpfs,
        };
        let meter = Meter::new(cgroup, tmp);
        let init_started = now.checked_sub(Duration::from_nanos(since)).unwrap_or(now);
        if matches!(self.life.phase(), Phase::Init(InitKind::OnDemand)) {
            // Armed when the start was asked for; the limit is the function's.
            self.deadline = Some(init_started + INIT_LIMIT);
        }
        self.runtime = Some(Runtime {
            state: RuntimeState::Started,
            meter,
            thrash: Thrash::default(),
            server,
            network,
            init_started,
            pending_next: None,
            posting: None,
            init_error: None,
            killed_for_memory: false,
            extensions: HashMap::new(),
        });
        Ok(())
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
        let _ = open.reply.result.send(Err(gone));
    }

    // Limits and meters.

    fn limit_cpu(&mut self) {
        let quota = self.settings.function.memory_size.cpu_quota_us();
        let Some(runtime) = &self.runtime else { return };
        if let Err(error) = runtime.meter.cgroup().limit_cpu(quota) {
            self.warn_once(format!("the CPU quota could not be set: {error}"));
        }
    }

    fn set_frozen(&mut self, frozen: bool) {
        let pace = if frozen { Pace::Frozen } else { Pace::Running };
        self.subscribers.set_pace(pace);
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
            Deadline::Stop(after) => {
                let begun = self.stop.map_or(now, |(begun, _)| begun);
                self.deadline = Some(begun + after);
                return;
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
            self.memory_peak = limit;
            self.handle(Event::Failed(Failure::OutOfMemory));
        }
    }

    fn sample_memory(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            let reading = runtime.meter.memory();
            self.memory_peak = runtime.meter.memory_peak(self.memory_peak, &reading);
        }
    }
}
