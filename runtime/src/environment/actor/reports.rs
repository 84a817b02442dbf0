//! What an environment says: the function's lines, and Lambda's about it.

use std::time::{Duration, Instant};

use super::super::{EnvironmentGone, EnvironmentSettings, InitFailure, InvocationResult};
use super::{Actor, Moment, OpenInvocation, Subscribers};
use crate::model::{InitKind, Report, Status};
use crate::telemetry::{self, Occurrence};

/// What the lines of a log may cost in a turn of the loop, about in bytes.
const LOG_TURN: usize = 64 * 1024;

/// How long logs are left alone after such a turn. The thread is everybody's: the
/// function that writes so much waits for its pipe, and nobody else waits for it.
const LOG_PAUSE: Duration = Duration::from_millis(1);

/// Log bytes kept per invocation; the sink has seen all of it.
const MAX_KEPT_LOG: usize = 6 * 1024 * 1024;

/// Everybody who hears of an event.
struct Listeners<'a> {
    settings: &'a EnvironmentSettings,
    subscribers: &'a mut Subscribers,
    open: &'a mut Option<OpenInvocation>,
}

impl Listeners<'_> {
    /// Passes an event on, and keeps its text with the open invocation.
    fn tell(&mut self, event: &telemetry::Event) {
        let occurrence = Occurrence::now(event, &self.settings.function);
        self.settings.sink.emit(&occurrence);
        self.subscribers.emit(event, occurrence.at());
        if let Some(open) = self.open {
            let lines = occurrence.log_lines();
            let room = MAX_KEPT_LOG.saturating_sub(open.logs.len());
            open.logs.extend_from_slice(&lines[..lines.len().min(room)]);
        }
    }
}

/// The listeners of an actor, beside which its logs can be read.
macro_rules! listeners {
    ($actor:ident) => {
        Listeners {
            settings: &$actor.settings,
            subscribers: &mut $actor.subscribers,
            open: &mut $actor.open,
        }
    };
}

impl Actor {
    /// Reads what there is of logs, with a pause if there is much.
    pub(super) fn read_logs(&mut self) {
        let mut listeners = listeners!(self);
        let more = self.log.read(LOG_TURN, |line| {
            listeners.tell(&telemetry::Event::Function(line));
        });
        let more_of_extensions = self.extension_log.read(LOG_TURN, |line| {
            listeners.tell(&telemetry::Event::ExtensionLine(line));
        });
        if more || more_of_extensions {
            self.log_pause = Some(Instant::now() + LOG_PAUSE);
        }
    }

    pub(super) fn read_logs_to_now(&mut self) {
        self.read_function_log_to_now();
        let mut listeners = listeners!(self);
        self.extension_log.drain(|line| {
            listeners.tell(&telemetry::Event::ExtensionLine(line));
        });
    }

    fn read_function_log_to_now(&mut self) {
        let mut listeners = listeners!(self);
        self.log.drain(|line| {
            listeners.tell(&telemetry::Event::Function(line));
        });
    }

    pub(super) fn emit(&mut self, event: &telemetry::Event) {
        listeners!(self).tell(event);
    }

    pub(super) fn report_init(&mut self, kind: InitKind, status: &Status) {
        let duration = match kind {
            InitKind::OnDemand | InitKind::Provisioned => self
                .runtime
                .as_ref()
                .map(|runtime| runtime.init_started.elapsed()),
            InitKind::Suppressed => self
                .open
                .as_ref()
                .and_then(|open| open.started)
                .map(|started| started.elapsed()),
        };
        self.emit(&telemetry::Event::InitRuntimeDone {
            kind,
            status: status.clone(),
        });
        self.emit(&telemetry::Event::InitReport {
            kind,
            duration: duration.unwrap_or_default(),
            status: status.clone(),
        });
        if *status == Status::Success {
            self.subscribers.close();
        }
        let reason = self.init_problem.take();
        self.tell_initialised(match status {
            Status::Success => Ok(()),
            _ => Err(InitFailure::Function(reason)),
        });
    }

    /// Tells whoever waits for an INIT ahead of invocations.
    pub(super) fn tell_initialised(&mut self, result: Result<(), InitFailure>) {
        if let Some(waiting) = self.initialised.take() {
            // Whoever asked may be gone.
            let _ = waiting.send(result);
        }
    }

    /// The runtime is done with the open invocation, which is said once.
    pub(super) fn runtime_done(&mut self, status: Status) {
        self.read_function_log_to_now();
        let timeout = self.settings.timeout();
        let Some(open) = &mut self.open else { return };
        let elapsed = open.started.map(|started| started.elapsed());
        let duration = match status {
            Status::Timeout => timeout,
            _ => elapsed.unwrap_or_default().min(timeout),
        };
        if std::mem::replace(&mut open.runtime_done, true) {
            return;
        }
        open.timing.runtime_done = Some(Moment::now());
        let done = telemetry::Event::RuntimeDone {
            request_id: open.invocation.request_id,
            duration,
            status,
            produced_bytes: open.produced_bytes,
            spans: open.timing.of_runtime(),
            trace_id: open.invocation.trace_id.clone(),
        };
        self.emit(&done);
    }

    pub(super) fn end_invoke(&mut self, status: Status) {
        self.read_logs_to_now();
        self.sample_memory();
        let timeout = self.settings.timeout();
        let Some(open) = &self.open else { return };
        let elapsed = open
            .started
            .map(|started| started.elapsed())
            .unwrap_or_default();
        let (cpu, tmp_used) = self
            .runtime
            .as_mut()
            .map_or_else(Default::default, |runtime| {
                (runtime.meter.count_cpu(), runtime.meter.tmp().used())
            });
        let report = Report {
            duration: if status == Status::Timeout {
                timeout
            } else {
                elapsed.min(timeout)
            },
            init_duration: open.init_duration,
            memory_size: self.settings.function.memory_size,
            max_memory_used: self.memory_peak,
            cpu_used: cpu.used,
            cpu_throttled: cpu.throttled,
            tmp_used,
            status,
        };
        let request_id = open.invocation.request_id;
        let failed = open
            .outcome
            .as_ref()
            .is_none_or(|outcome| outcome.function_error().is_some());
        let overhead = self.life.has_extensions();
        let spans = overhead.then(|| open.timing.of_extensions(Moment::now()));
        let event = telemetry::Event::Report {
            request_id,
            report: report.clone(),
            failed,
            spans: spans.unwrap_or_default(),
            trace_id: open.invocation.trace_id.clone(),
        };
        self.emit(&event);
        let Some(open) = self.open.take() else { return };
        let result = open.outcome.map_or_else(
            || Err(EnvironmentGone::ended()),
            |outcome| {
                Ok(InvocationResult {
                    request_id,
                    outcome,
                    cold_start: open.cold_start,
                    report,
                    logs: open.logs,
                    warnings: [self.settings.warnings.as_slice(), &self.warnings].concat(),
                })
            },
        );
        // A caller that has left does not need it.
        let _ = open.reply.result.send(result);
    }
}
