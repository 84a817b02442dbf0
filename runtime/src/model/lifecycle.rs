//! The life of an execution environment, as a pure transition function.
//!
//! ```text
//! Fresh ──invoke──► Init(on demand) ──all next──► Invoking ──answer──► Answered ──all next──► Idle
//!                     │ failure                     │ failure             │                    │ invoke
//!                     ▼                             ▼                     ▼                    ▼
//!                   Stopping ──────────────────► Stopping ◄───────────────┘                 Invoking
//!                     │ all ended                   │ all ended
//!                     ▼                             ▼
//!                   Init(suppressed) ◄──invoke──── Down
//! ```
//!
//! An environment of provisioned concurrency goes from `Fresh` to `Idle` before any
//! invocation (`Init(Provisioned)`), and ends if that fails.
//!
//! `Stopping` is Lambda's SHUTDOWN ([`stop`]); it lies between every failure, or the
//! decision to end an environment, and the news that no process is left. The
//! environment's actor turns what happens into an [`Event`], or a call of an
//! extension, and performs the [`Effect`]s, in order; it decides nothing by itself.

mod stop;

use uuid::Uuid;

use super::extension_error::ExtensionError;
use super::extensions::{Extensions, ReportedFault};
use super::failure::ExtensionFault;
use super::phase::{AfterStop, Answer, Deadline, Effect, Ending, Event, InitKind, Phase};
use super::phase::{ShutdownReason, StopStep};
use super::{ExitStatus, Failure, Status};

/// What is known of the runtime's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuntimeProcess {
    /// There is none, and none was asked for.
    Absent,
    /// Its start was asked for.
    Asked,
    /// It runs.
    Running,
    /// It waits for an event.
    Waiting,
}

/// An environment: its phase, its extensions, its runtime.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    phase: Phase,
    extensions: Extensions,
    runtime: RuntimeProcess,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Phase::Fresh,
            extensions: Extensions::default(),
            runtime: RuntimeProcess::Absent,
        }
    }
}

impl Lifecycle {
    /// Where it is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The extension with this identifier, and whether subscriptions are still
    /// accepted from it.
    pub fn extension(&self, identifier: Uuid) -> Option<(&str, bool)> {
        let name = self.extensions.name_of(identifier)?;
        // Longer than registrations: until all extensions are ready.
        Some((name, matches!(self.phase, Phase::Init(_))))
    }

    /// Whether anybody is an extension.
    pub fn has_extensions(&self) -> bool {
        !self.extensions.is_empty()
    }

    /// An extension registers. Its identifier, and what has to be done.
    ///
    /// # Errors
    /// Lambda's refusal.
    pub fn register(
        &mut self,
        name: &str,
        events: &[String],
    ) -> Result<(Uuid, Vec<Effect>), ExtensionError> {
        let identifier = self.extensions.register(name, events)?;
        let last = matches!(self.phase, Phase::Init(_))
            && self.runtime == RuntimeProcess::Absent
            && self.extensions.all_registered();
        if last {
            self.runtime = RuntimeProcess::Asked;
            return Ok((identifier, vec![Effect::StartRuntime]));
        }
        Ok((identifier, vec![]))
    }

    /// An extension asks for the next event. Who it is, and what has to be done:
    /// the actor keeps its connection before it does that.
    ///
    /// # Errors
    /// Lambda's refusal.
    pub fn extension_next(
        &mut self,
        identifier: Uuid,
    ) -> Result<(usize, Vec<Effect>), ExtensionError> {
        let index = self.extensions.next(identifier)?;
        let effects = if self.extensions.owes_shutdown(index) {
            vec![Effect::TellShutdown(vec![index])]
        } else {
            self.all_may_be_waiting()
        };
        Ok((index, effects))
    }

    /// An extension reports an error of itself.
    ///
    /// # Errors
    /// Lambda's refusal.
    pub fn extension_error(
        &mut self,
        fault: ReportedFault,
        identifier: Uuid,
        error_type: Option<&str>,
    ) -> Result<(), ExtensionError> {
        self.extensions.report(fault, identifier, error_type)
    }

    /// What has to be done about `event`.
    ///
    /// Events that mean nothing in a phase (a deadline that passed while it was
    /// being disarmed, say) change nothing.
    #[must_use]
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        use Effect as Do;
        use Event as On;
        use InitKind::{OnDemand, Provisioned, Suppressed};
        match (self.phase.clone(), event) {
            (Phase::Gone, _) => vec![],
            (phase, On::HostFailed) => {
                self.phase = Phase::Gone;
                if phase.has_invocation() {
                    vec![Do::Disarm, Do::Abandon]
                } else {
                    vec![]
                }
            }
            (phase, On::Shutdown) => self.shut_down(phase),

            (Phase::Fresh, On::Invoke) => {
                self.phase = Phase::Init(OnDemand);
                vec![Do::Start, Do::Arm(Deadline::Init)]
            }
            (Phase::Fresh, On::Initialise) => {
                self.phase = Phase::Init(Provisioned);
                vec![Do::Start, Do::Arm(Deadline::ProvisionedInit)]
            }
            (Phase::Down, On::Invoke) => {
                self.phase = Phase::Init(Suppressed);
                vec![Do::Arm(Deadline::Invoke), Do::Start]
            }
            (Phase::Idle, On::Invoke) => {
                let mut effects = vec![Do::Thaw, Do::BeginInvoke, Do::Arm(Deadline::Invoke)];
                effects.extend(self.hand_out());
                effects
            }

            (phase, On::Launched(launches)) => {
                let failure = launches.iter().find_map(|launch| launch.failure.clone());
                if launches.is_empty() {
                    self.runtime = RuntimeProcess::Asked;
                }
                self.extensions.launched(launches);
                match failure {
                    Some(failure) if matches!(phase, Phase::Init(_)) => {
                        self.fail(&Failure::Extension(ExtensionFault::Launch, failure.reason))
                    }
                    _ => vec![],
                }
            }
            (_, On::RuntimeStarted) => {
                // Its first call may have been faster than the news of its start.
                if self.runtime != RuntimeProcess::Waiting {
                    self.runtime = RuntimeProcess::Running;
                }
                vec![]
            }

            (Phase::Init(_), On::RuntimeNext) => {
                self.runtime = RuntimeProcess::Waiting;
                self.extensions.close_registration();
                self.all_may_be_waiting()
            }
            // The runtime lost its connection and asks again: the same event.
            (Phase::Invoking, On::RuntimeNext) => vec![Do::HandOut],
            (Phase::Answered, On::RuntimeNext) if self.runtime == RuntimeProcess::Running => {
                self.runtime = RuntimeProcess::Waiting;
                let mut effects = vec![Do::RuntimeDone(Status::Success)];
                let settled = self.all_may_be_waiting();
                if settled.is_empty() {
                    effects.push(Do::AwaitExtensions);
                }
                effects.extend(settled);
                effects
            }
            (Phase::Invoking, On::RuntimeAnswered(answer)) => {
                self.phase = Phase::Answered;
                vec![Do::Reply(answer)]
            }

            (Phase::Init(OnDemand | Provisioned), On::RuntimeInitError(error_type)) => self
                .init_failed(
                    Status::Error(error_type),
                    ShutdownReason::Failure,
                    true,
                    None,
                ),
            (Phase::Init(Suppressed), On::RuntimeInitError(error_type)) => self.init_failed(
                Status::Error(error_type),
                ShutdownReason::Failure,
                true,
                Some(Answer::InitError),
            ),
            (Phase::Init(_), On::DeadlinePassed) => self.init_failed(
                Status::Timeout,
                ShutdownReason::Timeout,
                true,
                Some(Answer::Timeout),
            ),
            (Phase::Invoking, On::DeadlinePassed) => {
                let mut effects = vec![Do::Reply(Answer::Timeout)];
                effects.extend(self.reset(Status::Timeout, ShutdownReason::Timeout, true));
                effects
            }
            // The caller has its answer, but the invoke phase goes on until all are
            // ready again, and the timeout covers all of it.
            (Phase::Answered, On::DeadlinePassed) => {
                self.reset(Status::Timeout, ShutdownReason::Timeout, true)
            }

            (phase, On::RuntimeEnded(ending)) => {
                self.runtime = RuntimeProcess::Absent;
                if let Phase::Stopping { step, .. } = phase {
                    return self.runtime_left(step);
                }
                let failure = match (ending, self.extensions.fault()) {
                    (Ending::OutOfMemory, _) => Failure::OutOfMemory,
                    (Ending::Exit(status), Some(fault)) => {
                        Failure::Extension(fault, status.to_string())
                    }
                    (Ending::Exit(status), None) => Failure::Exit(status),
                };
                self.fail(&failure)
            }
            (phase, On::ExtensionEnded(index, ending)) => {
                let status = match ending {
                    Ending::Exit(status) => Some(status),
                    Ending::OutOfMemory => None,
                };
                self.extensions.ended(index, status);
                if let Phase::Stopping { step, .. } = phase {
                    return self.extension_left(step);
                }
                let fault = self.extensions.fault().unwrap_or(ExtensionFault::Crash);
                let failure = status.map_or(Failure::OutOfMemory, |status: ExitStatus| {
                    Failure::Extension(fault, status.of_extension())
                });
                self.fail(&failure)
            }
            (_, On::Failed(failure)) => {
                if failure != Failure::OutOfMemory {
                    // It could not be started.
                    self.runtime = RuntimeProcess::Absent;
                }
                self.fail(&failure)
            }

            (Phase::Stopping { step, .. }, On::DeadlinePassed) => self.stop_deadline_passed(step),
            (Phase::Stopping { then, finish, step }, On::AllEnded) => {
                self.extensions = Extensions::default();
                self.runtime = RuntimeProcess::Absent;
                let mut effects = vec![];
                if step != StopStep::Killed {
                    effects.push(Do::Disarm);
                }
                effects.extend(finish.map(Do::EndInvoke));
                self.phase = match then {
                    AfterStop::InitAgain => {
                        effects.extend([Do::Arm(Deadline::Invoke), Do::Start]);
                        Phase::Init(Suppressed)
                    }
                    AfterStop::Rest => Phase::Down,
                    AfterStop::End => Phase::Gone,
                };
                effects
            }

            _ => vec![],
        }
    }

    /// Everybody who is waited for may have asked for an event now: then INIT is
    /// over, or the invocation.
    fn all_may_be_waiting(&mut self) -> Vec<Effect> {
        if self.runtime != RuntimeProcess::Waiting {
            return vec![];
        }
        match self.phase {
            Phase::Init(InitKind::Provisioned) if self.extensions.all_ready() => {
                self.phase = Phase::Idle;
                let mut effects = vec![Effect::Disarm];
                effects.extend(self.report_extensions());
                effects.extend([
                    Effect::LimitCpu,
                    Effect::ReportInit(InitKind::Provisioned, Status::Success),
                    Effect::Freeze,
                ]);
                effects
            }
            Phase::Init(kind) if self.extensions.all_ready() => {
                let mut effects = vec![];
                if kind == InitKind::OnDemand {
                    effects.push(Effect::InitSucceeded);
                }
                effects.extend(self.report_extensions());
                effects.extend([
                    Effect::LimitCpu,
                    Effect::ReportInit(kind, Status::Success),
                    Effect::BeginInvoke,
                ]);
                if kind == InitKind::OnDemand {
                    effects.push(Effect::Arm(Deadline::Invoke));
                }
                effects.extend(self.hand_out());
                effects
            }
            Phase::Answered if self.extensions.invocation_done() => {
                self.phase = Phase::Idle;
                vec![
                    Effect::Disarm,
                    Effect::Freeze,
                    Effect::EndInvoke(Status::Success),
                ]
            }
            _ => vec![],
        }
    }

    /// The event goes out: to extensions first, as on Lambda.
    fn hand_out(&mut self) -> Vec<Effect> {
        self.phase = Phase::Invoking;
        self.runtime = RuntimeProcess::Running;
        let told = self.extensions.begin_invocation();
        let told = (!told.is_empty()).then_some(Effect::TellInvoke(told));
        told.into_iter().chain([Effect::HandOut]).collect()
    }

    fn report_extensions(&self) -> Option<Effect> {
        let infos: Vec<_> = self.extensions.infos().cloned().collect();
        (!infos.is_empty()).then_some(Effect::ReportExtensions(infos))
    }

    /// Something failed, whatever was going on.
    fn fail(&mut self, failure: &Failure) -> Vec<Effect> {
        let status = Status::Error(failure.error_type().to_owned());
        let reason = ShutdownReason::Failure;
        // Who has no memory left does not end in good order.
        let gently = *failure != Failure::OutOfMemory;
        match self.phase {
            Phase::Init(_) => self.init_failed(
                status,
                reason,
                gently,
                Some(Answer::Failure(failure.clone())),
            ),
            Phase::Invoking => {
                let mut effects = vec![
                    Effect::Disarm,
                    Effect::Reply(Answer::Failure(failure.clone())),
                ];
                effects.extend(self.reset(status, reason, gently));
                effects
            }
            Phase::Answered => {
                let mut effects = vec![Effect::Disarm];
                effects.extend(self.reset(status, reason, gently));
                effects
            }
            // The group stays frozen without its processes, and would freeze the
            // next one's.
            Phase::Idle => {
                let mut effects = vec![Effect::Died, Effect::Thaw];
                effects.extend(self.stop(AfterStop::Rest, None, reason, gently));
                effects
            }
            Phase::Fresh | Phase::Down | Phase::Stopping { .. } | Phase::Gone => vec![],
        }
    }

    /// INIT failed. The first one is done again in the invocation; a suppressed one
    /// answers it; one ahead of invocations is the environment's end.
    fn init_failed(
        &mut self,
        status: Status,
        reason: ShutdownReason,
        gently: bool,
        answer: Option<Answer>,
    ) -> Vec<Effect> {
        let Phase::Init(kind) = self.phase else {
            return vec![];
        };
        let mut effects = vec![Effect::Disarm];
        effects.extend(self.report_extensions());
        effects.push(Effect::ReportInit(kind, status.clone()));
        match kind {
            InitKind::OnDemand => {
                effects.extend(self.stop(AfterStop::InitAgain, None, reason, gently));
            }
            InitKind::Provisioned => {
                effects.extend(self.stop(AfterStop::End, None, reason, gently));
            }
            InitKind::Suppressed => {
                effects.push(Effect::BeginInvoke);
                effects.extend(answer.map(Effect::Reply));
                effects.extend(self.reset(status, reason, gently));
            }
        }
        effects
    }

    /// Ends all processes, and the invocation with this status.
    fn reset(&mut self, status: Status, reason: ShutdownReason, gently: bool) -> Vec<Effect> {
        let mut effects = vec![Effect::RuntimeDone(status.clone())];
        effects.extend(self.stop(AfterStop::Rest, Some(status), reason, gently));
        effects
    }
}

#[cfg(test)]
mod tests;
