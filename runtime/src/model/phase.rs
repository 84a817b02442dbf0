//! The life of an execution environment, as a pure transition function.
//!
//! ```text
//! Fresh ──invoke──► Init(on demand) ──next──► Invoking ──answer──► Answered ──next──► Idle
//!                     │ failure                  │ failure              │              │ invoke
//!                     ▼                          ▼                      ▼              ▼
//!                   Init(suppressed) ◄─invoke── Down ◄──────────────────┘           Invoking
//! ```
//!
//! An environment of provisioned concurrency goes from `Fresh` to `Idle` before any
//! invocation (`Init(Provisioned)`), and ends if that fails.
//!
//! `Stopping` lies between a decision to kill the runtime and the news that it
//! is gone. The environment's actor turns what happens into an [`Event`] and
//! performs the [`Effect`]s, in order; it decides nothing by itself.

use super::{Failure, Status};

/// Which INIT is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitKind {
    /// The first, with a limit of its own (10 s) and its own duration.
    OnDemand,
    /// After a failure, inside the invocation and its timeout.
    Suppressed,
    /// Ahead of invocations, with a limit of its own (130 s or more). If it fails,
    /// the environment ends: the next one tries again.
    Provisioned,
}

/// Where an execution environment is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Never initialised.
    Fresh,
    /// The runtime was started for a waiting invocation.
    Init(InitKind),
    /// The runtime waits for an event; frozen.
    Idle,
    /// An event is out.
    Invoking,
    /// The answer has come; the runtime has not yet asked for the next event.
    Answered,
    /// The runtime has been killed and is not yet gone.
    Stopping {
        /// What follows.
        then: AfterStop,
        /// The status to close the invocation with, if one is open.
        finish: Option<Status>,
    },
    /// No runtime: it ended or was killed. `/tmp` is still there.
    Down,
    /// The environment is over.
    Gone,
}

/// What follows when a killed runtime is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStop {
    /// Initialise again, for the invocation that still waits.
    InitAgain,
    /// Wait for the next invocation.
    Rest,
    /// Nothing: the environment ends.
    End,
}

/// What happened to an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An invocation was assigned to it.
    Invoke,
    /// It shall be initialised before it gets an invocation.
    Initialise,
    /// The runtime asked for the next event.
    RuntimeNext,
    /// The invocation was answered.
    RuntimeAnswered(Answer),
    /// The runtime reported an error of this type instead of initialising.
    RuntimeInitError(String),
    /// The runtime could not be started, or ended.
    RuntimeEnded(Failure),
    /// The armed deadline passed.
    DeadlinePassed,
    /// The environment shall end.
    Shutdown,
    /// This host failed: the sandbox cannot be created or was lost.
    HostFailed,
}

/// Whose answer the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the runtime posted: a result or an error of the function.
    Runtime,
    /// What the runtime reported while it initialised.
    InitError,
    /// Lambda's own, because the timeout passed.
    Timeout,
    /// Lambda's own, for another failure.
    Failure(Failure),
}

/// Deadlines that can be armed; one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// 10 s for the on-demand INIT.
    Init,
    /// 130 s, or the function timeout if that is longer, for an INIT ahead of
    /// invocations.
    ProvisionedInit,
    /// The function timeout. The clock of the invocation starts with it.
    Invoke,
}

/// What the actor has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the runtime, with the CPU of the INIT phase.
    StartRuntime,
    /// Kill everything in the sandbox; keep `/tmp`.
    KillRuntime,
    /// Let the processes run.
    Thaw,
    /// Stop the processes where they are.
    Freeze,
    /// From now on CPU in proportion to memory.
    LimitCpu,
    /// (Re)start the deadline timer.
    Arm(Deadline),
    /// Stop the deadline timer.
    Disarm,
    /// The on-demand INIT succeeded: its duration belongs to this invocation.
    InitSucceeded,
    /// Log how an INIT ended: that it failed, and in any case if nobody's
    /// invocation tells of it.
    ReportInit(InitKind, Status),
    /// Log the START of the invocation.
    BeginInvoke,
    /// Give the event to the runtime that waits in `next`.
    HandOut,
    /// Give the caller its answer.
    Reply(Answer),
    /// Log END and REPORT and close the invocation.
    EndInvoke(Status),
    /// Tell the caller that this host failed or that the environment was ended.
    Abandon,
}

impl Phase {
    /// Whether an invocation can be assigned now.
    pub fn accepts_invocation(&self) -> bool {
        matches!(self, Self::Fresh | Self::Idle | Self::Down)
    }

    /// Whether an invocation is open.
    pub fn has_invocation(&self) -> bool {
        match self {
            Self::Init(InitKind::Provisioned) => false,
            Self::Init(_) | Self::Invoking | Self::Answered => true,
            Self::Stopping { then, finish } => *then == AfterStop::InitAgain || finish.is_some(),
            Self::Fresh | Self::Idle | Self::Down | Self::Gone => false,
        }
    }

    /// Whether the runtime may be doing something.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Init(_)) || self.has_invocation()
    }

    /// Whether an invocation finds it initialised.
    pub fn is_warm(&self) -> bool {
        matches!(self, Self::Idle | Self::Invoking | Self::Answered)
    }

    /// The phase after `event`, and what has to be done.
    ///
    /// Events that mean nothing in a phase (a deadline that passed while it was
    /// being disarmed, say) change nothing.
    #[must_use]
    pub fn on(self, event: Event) -> (Self, Vec<Effect>) {
        use Effect as Do;
        use Event as On;
        use InitKind::{OnDemand, Provisioned, Suppressed};
        match (self, event) {
            (Self::Gone, _) => (Self::Gone, vec![]),
            (phase, On::HostFailed) => {
                let open = phase.has_invocation();
                (
                    Self::Gone,
                    if open {
                        vec![Do::Disarm, Do::Abandon]
                    } else {
                        vec![]
                    },
                )
            }
            (phase, On::Shutdown) => phase.shut_down(),

            (Self::Fresh, On::Invoke) => (
                Self::Init(OnDemand),
                vec![Do::StartRuntime, Do::Arm(Deadline::Init)],
            ),
            (Self::Fresh, On::Initialise) => (
                Self::Init(Provisioned),
                vec![Do::StartRuntime, Do::Arm(Deadline::ProvisionedInit)],
            ),
            (Self::Down, On::Invoke) => (
                Self::Init(Suppressed),
                vec![Do::Arm(Deadline::Invoke), Do::StartRuntime],
            ),
            (Self::Idle, On::Invoke) => (
                Self::Invoking,
                vec![
                    Do::Thaw,
                    Do::BeginInvoke,
                    Do::Arm(Deadline::Invoke),
                    Do::HandOut,
                ],
            ),
            // The group stays frozen without its processes, and would freeze the
            // next one's.
            (Self::Idle, On::RuntimeEnded(_)) => (Self::Down, vec![Do::Thaw]),

            (Self::Init(OnDemand), On::RuntimeNext) => (
                Self::Invoking,
                vec![
                    Do::InitSucceeded,
                    Do::LimitCpu,
                    Do::BeginInvoke,
                    Do::Arm(Deadline::Invoke),
                    Do::HandOut,
                ],
            ),
            (Self::Init(Suppressed), On::RuntimeNext) => (
                Self::Invoking,
                vec![Do::LimitCpu, Do::BeginInvoke, Do::HandOut],
            ),
            (Self::Init(OnDemand), On::DeadlinePassed) => (
                Self::stopping(AfterStop::InitAgain, None),
                vec![Do::ReportInit(OnDemand, Status::Timeout), Do::KillRuntime],
            ),
            (Self::Init(Suppressed), On::DeadlinePassed) => (
                Self::stopping(AfterStop::Rest, Some(Status::Timeout)),
                vec![
                    Do::ReportInit(Suppressed, Status::Timeout),
                    Do::BeginInvoke,
                    Do::Reply(Answer::Timeout),
                    Do::KillRuntime,
                ],
            ),
            (Self::Init(OnDemand), On::RuntimeInitError(error_type)) => (
                Self::stopping(AfterStop::InitAgain, None),
                vec![
                    Do::Disarm,
                    Do::ReportInit(OnDemand, Status::Error(error_type)),
                    Do::KillRuntime,
                ],
            ),
            (Self::Init(Suppressed), On::RuntimeInitError(error_type)) => (
                Self::stopping(AfterStop::Rest, Some(Status::Error(error_type.clone()))),
                vec![
                    Do::Disarm,
                    Do::ReportInit(Suppressed, Status::Error(error_type)),
                    Do::BeginInvoke,
                    Do::Reply(Answer::InitError),
                    Do::KillRuntime,
                ],
            ),
            (Self::Init(OnDemand), On::RuntimeEnded(failure)) => (
                Self::Init(Suppressed),
                vec![
                    Do::ReportInit(OnDemand, error(&failure)),
                    Do::Arm(Deadline::Invoke),
                    Do::StartRuntime,
                ],
            ),
            (Self::Init(Suppressed), On::RuntimeEnded(failure)) => (
                Self::Down,
                vec![
                    Do::Disarm,
                    Do::ReportInit(Suppressed, error(&failure)),
                    Do::BeginInvoke,
                    Do::Reply(Answer::Failure(failure.clone())),
                    Do::EndInvoke(error(&failure)),
                ],
            ),

            (Self::Init(Provisioned), On::RuntimeNext) => (
                Self::Idle,
                vec![
                    Do::Disarm,
                    Do::LimitCpu,
                    Do::Freeze,
                    Do::ReportInit(Provisioned, Status::Success),
                ],
            ),
            (Self::Init(Provisioned), On::DeadlinePassed) => (
                Self::stopping(AfterStop::End, None),
                vec![
                    Do::ReportInit(Provisioned, Status::Timeout),
                    Do::KillRuntime,
                ],
            ),
            (Self::Init(Provisioned), On::RuntimeInitError(error_type)) => (
                Self::stopping(AfterStop::End, None),
                vec![
                    Do::Disarm,
                    Do::ReportInit(Provisioned, Status::Error(error_type)),
                    Do::KillRuntime,
                ],
            ),
            (Self::Init(Provisioned), On::RuntimeEnded(failure)) => (
                Self::Gone,
                vec![Do::Disarm, Do::ReportInit(Provisioned, error(&failure))],
            ),

            // The runtime lost its connection and asks again: the same event.
            (Self::Invoking, On::RuntimeNext) => (Self::Invoking, vec![Do::HandOut]),
            (Self::Invoking, On::RuntimeAnswered(answer)) => {
                (Self::Answered, vec![Do::Reply(answer)])
            }
            (Self::Invoking, On::DeadlinePassed) => (
                Self::stopping(AfterStop::Rest, Some(Status::Timeout)),
                vec![Do::Reply(Answer::Timeout), Do::KillRuntime],
            ),
            (Self::Invoking, On::RuntimeEnded(failure)) => (
                Self::Down,
                vec![
                    Do::Disarm,
                    Do::Reply(Answer::Failure(failure.clone())),
                    Do::EndInvoke(error(&failure)),
                ],
            ),

            (Self::Answered, On::RuntimeNext) => (
                Self::Idle,
                vec![Do::Disarm, Do::Freeze, Do::EndInvoke(Status::Success)],
            ),
            // The caller has its answer, but the invoke phase goes on until the
            // runtime is ready again, and the timeout covers all of it.
            (Self::Answered, On::DeadlinePassed) => (
                Self::stopping(AfterStop::Rest, Some(Status::Timeout)),
                vec![Do::KillRuntime],
            ),
            (Self::Answered, On::RuntimeEnded(failure)) => {
                (Self::Down, vec![Do::Disarm, Do::EndInvoke(error(&failure))])
            }

            (Self::Stopping { then, finish }, On::RuntimeEnded(_)) => {
                let mut effects: Vec<Effect> = finish.map(Do::EndInvoke).into_iter().collect();
                let phase = match then {
                    AfterStop::InitAgain => {
                        effects.extend([Do::Arm(Deadline::Invoke), Do::StartRuntime]);
                        Self::Init(Suppressed)
                    }
                    AfterStop::Rest => Self::Down,
                    AfterStop::End => Self::Gone,
                };
                (phase, effects)
            }

            (phase, _) => (phase, vec![]),
        }
    }

    fn shut_down(self) -> (Self, Vec<Effect>) {
        let open = self.has_invocation();
        match self {
            Self::Fresh | Self::Down | Self::Gone => (Self::Gone, vec![]),
            Self::Stopping {
                finish: Some(status),
                ..
            } => (Self::stopping(AfterStop::End, Some(status)), vec![]),
            Self::Stopping { .. } => (
                Self::stopping(AfterStop::End, None),
                if open { vec![Effect::Abandon] } else { vec![] },
            ),
            Self::Init(_) | Self::Idle | Self::Invoking | Self::Answered => {
                let mut effects = vec![Effect::Disarm];
                if open {
                    effects.push(Effect::Abandon);
                }
                effects.push(Effect::KillRuntime);
                (Self::stopping(AfterStop::End, None), effects)
            }
        }
    }

    fn stopping(then: AfterStop, finish: Option<Status>) -> Self {
        Self::Stopping { then, finish }
    }
}

fn error(failure: &Failure) -> Status {
    Status::Error(failure.error_type().to_owned())
}

#[cfg(test)]
mod tests;
