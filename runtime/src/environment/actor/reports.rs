//! What an environment says: the function's lines, and Lambda's about it.

use super::super::{EnvironmentGone, EnvironmentSettings, InitFailure, InvocationResult};
use super::{Actor, OpenInvocation};
use crate::model::{InitKind, Report, Status};
use crate::telemetry;

/// Log bytes taken per turn of the loop.
const LOG_TURN: usize = 256 * 1024;

/// Log bytes kept per invocation; the sink has seen all of it.
const MAX_KEPT_LOG: usize = 6 * 1024 * 1024;

impl Actor {
    pub(super) fn read_log(&mut self) {
        let (log, settings, open) = (&mut self.log, &self.settings, &mut self.open);
        log.read(LOG_TURN, |line| {
            record(settings, open, &telemetry::Event::Function(line));
        });
    }

    pub(super) fn read_log_to_now(&mut self) {
        let (log, settings, open) = (&mut self.log, &self.settings, &mut self.open);
        log.drain(|line| record(settings, open, &telemetry::Event::Function(line)));
    }

    pub(super) fn emit(&mut self, event: &telemetry::Event) {
        record(&self.settings, &mut self.open, event);
    }

    pub(super) fn report_init(&mut self, kind: InitKind, status: Status) {
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
        self.emit(&telemetry::Event::InitReport {
            kind,
            duration: duration.unwrap_or_default(),
            status: status.clone(),
        });
        if let Some(waiting) = self.initialised.take() {
            let result = match status {
                Status::Success => Ok(()),
                _ => Err(InitFailure::Function),
            };
            // Whoever asked may be gone.
            let _ = waiting.send(result);
        }
    }

    pub(super) fn end_invoke(&mut self, status: Status) {
        self.read_log_to_now();
        self.sample_memory();
        let timeout = self.settings.function.timeout.duration();
        let Some(open) = &self.open else { return };
        let elapsed = open
            .started
            .map(|started| started.elapsed())
            .unwrap_or_default();
        let (cpu, tmp_used) = self
            .runtime
            .as_ref()
            .map_or_else(Default::default, |runtime| {
                (runtime.meter.cpu_since(), runtime.meter.tmp().used())
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
        self.emit(&telemetry::Event::Report {
            request_id,
            report: report.clone(),
            failed,
        });
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
        let _ = open.reply.send(result);
    }
}

/// Emits an event, and keeps its text with the open invocation.
fn record(
    settings: &EnvironmentSettings,
    open: &mut Option<OpenInvocation>,
    event: &telemetry::Event,
) {
    settings.sink.emit(event);
    if let Some(open) = open {
        let lines = telemetry::log_lines(event);
        let room = MAX_KEPT_LOG.saturating_sub(open.logs.len());
        open.logs.extend_from_slice(&lines[..lines.len().min(room)]);
    }
}
