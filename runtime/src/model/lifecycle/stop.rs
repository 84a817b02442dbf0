//! SHUTDOWN: how an environment's processes end.
//!
//! | who is there | the runtime gets | external extensions get |
//! |---|---|---|
//! | no extension | SIGKILL at once | |
//! | internal ones only | SIGTERM and 500 ms | |
//! | an external one | SIGTERM and 600 ms | then SHUTDOWN, up to 2,000 ms after the beginning; SIGKILL at once without a subscription |
//!
//! Lambda's code gives the runtime 30 % of the time, also where nobody needs the
//! rest of it; the documented 500 ms are given in full.

use std::time::Duration;

use super::{
    AfterStop, Deadline, Effect, Lifecycle, Phase, RuntimeProcess, ShutdownReason, Status, StopStep,
};
use crate::model::ShutdownWindow;

/// For the runtime, when no external extension needs time.
const INTERNAL_WINDOW: Duration = Duration::from_millis(500);

/// For the runtime, of [`EXTERNAL_WINDOW`].
const RUNTIME_WINDOW: Duration = Duration::from_millis(600);

/// For all, with an external extension.
const EXTERNAL_WINDOW: Duration = Duration::from_secs(2);

impl Lifecycle {
    /// Begins to end all processes. Without `gently` the runtime has no time.
    pub(super) fn stop(
        &mut self,
        then: AfterStop,
        finish: Option<Status>,
        reason: ShutdownReason,
        gently: bool,
    ) -> Vec<Effect> {
        let (step, effects) = self.first_step(reason, gently);
        self.phase = Phase::Stopping { then, finish, step };
        effects
    }

    fn first_step(&mut self, reason: ShutdownReason, gently: bool) -> (StopStep, Vec<Effect>) {
        let runtime_window = match self.extensions.window() {
            ShutdownWindow::None => return (StopStep::Killed, vec![Effect::KillAll]),
            ShutdownWindow::Internal => INTERNAL_WINDOW,
            ShutdownWindow::External => RUNTIME_WINDOW,
        };
        let mut effects = vec![Effect::BeginStop(reason)];
        if gently && self.has_runtime() {
            effects.extend([
                Effect::Arm(Deadline::Stop(runtime_window)),
                Effect::TerminateRuntime,
            ]);
            return (StopStep::Runtime, effects);
        }
        let (step, more) = self.after_the_runtime();
        effects.extend(more);
        (step, effects)
    }

    /// The environment shall end.
    pub(super) fn shut_down(&mut self, phase: Phase) -> Vec<Effect> {
        let open = phase.has_invocation();
        match phase {
            Phase::Fresh | Phase::Down | Phase::Gone => {
                self.phase = Phase::Gone;
                vec![]
            }
            Phase::Stopping { finish, step, .. } => {
                let abandoned = open && finish.is_none();
                self.phase = Phase::Stopping {
                    then: AfterStop::End,
                    finish,
                    step,
                };
                abandoned.then_some(Effect::Abandon).into_iter().collect()
            }
            Phase::Init(_) | Phase::Idle | Phase::Invoking | Phase::Answered => {
                let mut effects = vec![Effect::Disarm];
                if open {
                    effects.push(Effect::Abandon);
                }
                // Who is only killed need not run for that.
                let has_time = self.extensions.window() != ShutdownWindow::None;
                if phase == Phase::Idle && has_time {
                    effects.push(Effect::Thaw);
                }
                effects.extend(self.stop(AfterStop::End, None, ShutdownReason::Spindown, true));
                effects
            }
        }
    }

    /// The runtime's process has ended while all are being ended.
    pub(super) fn runtime_left(&mut self, step: StopStep) -> Vec<Effect> {
        match step {
            StopStep::Runtime => {
                let (step, effects) = self.after_the_runtime();
                self.advance(step);
                std::iter::once(Effect::Disarm).chain(effects).collect()
            }
            StopStep::Extensions | StopStep::Killed => vec![],
        }
    }

    /// An extension's process has ended while all are being ended.
    pub(super) fn extension_left(&mut self, step: StopStep) -> Vec<Effect> {
        if step == StopStep::Extensions && !self.extensions.any_leaving() {
            self.advance(StopStep::Killed);
            return vec![Effect::Disarm, Effect::KillAll];
        }
        vec![]
    }

    pub(super) fn stop_deadline_passed(&mut self, step: StopStep) -> Vec<Effect> {
        match step {
            StopStep::Runtime => {
                let (step, effects) = self.after_the_runtime();
                self.advance(step);
                effects
            }
            StopStep::Extensions => {
                self.advance(StopStep::Killed);
                vec![Effect::KillAll]
            }
            StopStep::Killed => vec![],
        }
    }

    /// The runtime has had its time: now the extensions, if any wants it.
    fn after_the_runtime(&mut self) -> (StopStep, Vec<Effect>) {
        let told = self.extensions.begin_shutdown();
        if !self.extensions.any_leaving() {
            return (StopStep::Killed, vec![Effect::KillAll]);
        }
        let mut effects = vec![];
        if self.has_runtime() {
            effects.push(Effect::KillRuntime);
        }
        effects.push(Effect::Arm(Deadline::Stop(EXTERNAL_WINDOW)));
        let killed = self.extensions.uninterested();
        if !killed.is_empty() {
            effects.push(Effect::KillExtensions(killed));
        }
        if !told.is_empty() {
            effects.push(Effect::TellShutdown(told));
        }
        (StopStep::Extensions, effects)
    }

    fn has_runtime(&self) -> bool {
        self.runtime != RuntimeProcess::Absent
    }

    fn advance(&mut self, to: StopStep) {
        if let Phase::Stopping { step, .. } = &mut self.phase {
            *step = to;
        }
    }
}
