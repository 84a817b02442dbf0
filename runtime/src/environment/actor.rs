//! The actor of an environment. It turns everything that happens into events of
//! the environment's life and performs the effects, one after the other; so there is
//! one order of things, and nothing is shared.

mod calls;
mod extensions;
mod limits;
mod processes;
mod reports;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::log::FunctionLog;
use super::meter::Meter;
use super::queue::Pace;
use super::subscribers::Subscribers;
use super::thrash::Thrash;
use super::timing::{Moment, Timing};
use super::{
    Command, EnvironmentGone, EnvironmentSettings, InitFailure, Invocation, Outcome, Reply,
};
use crate::api::{ApiCall, ApiError, NextEvent, Posting};
use crate::model::{
    Deadline, Effect, Event, ExtensionIndex, Lifecycle, Phase, RuntimeState, ShutdownReason,
};
use crate::sandbox::client::{Sandbox, SandboxEvent};
use crate::sandbox::{Network, Process, StopSignal};
use crate::telemetry;

/// How often memory is looked at while something runs.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// How long killed processes may take to end. The kernel holds those that wait for a
/// disk or a file system that does not answer, and those that somebody else has frozen.
const KILL_LIMIT: Duration = Duration::from_secs(60);

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
    let (losses_sender, mut losses) = mpsc::unbounded_channel();
    let mut actor = Actor {
        settings,
        sandbox,
        instance_id: uuid::Uuid::new_v4().to_string(),
        subscribers: Subscribers::new(structured, losses_sender),
        log,
        extension_log,
        calls: calls_sender,
        life: Lifecycle::default(),
        has_processes: false,
        failed_starts: 0,
        runtime: None,
        generation: 0,
        waiting: VecDeque::new(),
        warnings: vec![],
        memory_peak: 0,
        tmp_empty: None,
        deadline: None,
        kill_deadline: None,
        log_pause: None,
        stop: None,
        open: None,
        initialised: None,
        init_problem: None,
        host_failure: None,
    };
    let mut sampler = tokio::time::interval(SAMPLE_INTERVAL);
    sampler.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ending = false;
    let mut was_busy = false;
    while *actor.life.phase() != Phase::Gone {
        actor.accept_waiting();
        // Processes may run: there is something to read, and to measure.
        let busy = !actor.life.phase().accepts_invocation();
        if busy && !was_busy {
            // A tick that was due meanwhile is none.
            sampler.reset();
        }
        was_busy = busy;
        let (deadline, kill_deadline) = (actor.deadline, actor.kill_deadline);
        let log_pause = actor.log_pause;
        tokio::select! {
            command = commands.recv(), if !ending => match command {
                Some(Command::Invoke(invocation, reply)) => {
                    actor.waiting.push_back((*invocation, reply));
                }
                Some(Command::Initialise(reply)) => {
                    actor.initialised = Some(reply);
                    actor.handle(Event::Initialise);
                }
                Some(Command::Prepare) => actor.prepare_sandbox(),
                Some(Command::Look(reply)) => {
                    // Whoever asked may have left.
                    let _ = reply.send(actor.places());
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
            Some(lost) = losses.recv() => actor.emit(&telemetry::Event::LogsDropped(lost)),
            () = readable(&actor.log, &actor.extension_log),
                if busy && log_pause.is_none() && actor.settings.sink.has_room() =>
            {
                actor.read_logs();
            }
            () = sleep_until(log_pause), if log_pause.is_some() => actor.log_pause = None,
            () = sleep_until(deadline), if deadline.is_some() => {
                actor.deadline = None;
                actor.handle(Event::DeadlinePassed);
            }
            () = sleep_until(kill_deadline), if kill_deadline.is_some() => actor.give_up(),
            _ = sampler.tick(), if busy => actor.sample(),
        }
    }
    actor.runtime = None;
    actor.sandbox.remove(&mut events).await;
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
    /// Failures of the start that is being tried.
    failed_starts: u32,
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
    /// When killed processes should have ended.
    kill_deadline: Option<Instant>,
    /// Until when logs are not read.
    log_pause: Option<Instant>,
    /// When SHUTDOWN began, and why.
    stop: Option<(Instant, ShutdownReason)>,
    open: Option<OpenInvocation>,
    /// Who waits for an INIT ahead of invocations.
    initialised: Option<oneshot::Sender<Result<(), InitFailure>>>,
    /// Why the function's INIT fails, in its own words or Lambda's.
    init_problem: Option<String>,
    /// Why the host failed, for the caller.
    host_failure: Option<String>,
}

/// The processes of the environment, from the time that the first of them runs.
struct Runtime {
    state: RuntimeState,
    meter: Meter,
    thrash: Thrash,
    server: JoinHandle<()>,
    /// Leads a debugger to it.
    debug: Option<JoinHandle<()>>,
    /// Where subscribers listen.
    network: Network,
    init_started: Instant,
    pending_next: Option<oneshot::Sender<Result<Arc<NextEvent>, ApiError>>>,
    posting: Option<Posting>,
    init_error: Option<Bytes>,
    killed_for_memory: bool,
    /// A process has died, and init has not said which: it has to run for that.
    unburied: bool,
    /// Extensions that wait in `next`.
    extensions: HashMap<ExtensionIndex, extensions::NextSender>,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.server.abort();
        if let Some(debug) = &self.debug {
            debug.abort();
        }
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
    /// Opens the next invocation if one waits and the phase allows it. What has died
    /// gets none.
    fn accept_waiting(&mut self) {
        if !self.life.phase().accepts_invocation() || self.has_unburied() {
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
        self.settings.standing.entered(self.life.phase());
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
                    self.kill_deadline = Some(Instant::now() + KILL_LIMIT);
                }
            }
            Effect::Thaw => self.set_frozen(false),
            Effect::Freeze => {
                self.read_logs_to_now();
                if !self.has_unburied() {
                    self.set_frozen(true);
                }
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
                // INIT has run, or nothing at all since the end of the last invocation.
                if self.open.as_ref().is_some_and(|open| open.cold_start) {
                    self.sample_memory();
                }
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
            Effect::Died => self.settings.standing.died(),
        }
    }

    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        let gone = self
            .host_failure
            .take()
            .map_or_else(EnvironmentGone::ended, EnvironmentGone::new);
        let _ = open.reply.result.send(Err(gone));
    }

    fn warn_once(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn arm(&mut self, deadline: Deadline) {
        let now = Instant::now();
        let limit = match deadline {
            Deadline::Init => self.settings.init_limit(),
            Deadline::ProvisionedInit => self.settings.provisioned_init_limit(),
            Deadline::Invoke => {
                if let Some(open) = &mut self.open {
                    open.started = Some(now);
                }
                self.settings.timeout()
            }
            Deadline::Stop(after) => {
                let begun = self.stop.map_or(now, |(begun, _)| begun);
                self.deadline = Some(begun + after);
                return;
            }
        };
        self.deadline = Some(now + limit);
    }
}
