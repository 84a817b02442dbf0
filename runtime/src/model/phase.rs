//! The words of an environment's life: its phases, what happens to it, and what has
//! to be done. [`super::Lifecycle`] has the transitions.

use std::fmt;
use std::time::Duration;

use super::extensions::{ExtensionIndex, ExtensionInfo, ExtensionLaunch};
use super::{ExitStatus, Failure, Status};

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
    /// Extensions and runtime were started for a waiting invocation, and have not
    /// all asked for an event.
    Init(InitKind),
    /// All wait for an event; frozen.
    Idle,
    /// An event is out.
    Invoking,
    /// The answer has come; the runtime, or an extension that was told of the
    /// invocation, has not yet asked for the next event.
    Answered,
    /// The processes are being ended and are not yet gone.
    Stopping {
        /// What follows.
        then: AfterStop,
        /// The status to close the invocation with, if one is open.
        finish: Option<Status>,
        /// How far it is.
        step: StopStep,
    },
    /// No processes: they ended or were killed. `/tmp` is still there.
    Down,
    /// The environment is over.
    Gone,
}

/// What follows when all processes are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStop {
    /// Initialise again, for the invocation that still waits.
    InitAgain,
    /// Wait for the next invocation.
    Rest,
    /// Nothing: the environment ends.
    End,
}

/// How far the end of an environment's processes is: Lambda's SHUTDOWN phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopStep {
    /// The runtime has SIGTERM, and some time.
    Runtime,
    /// Extensions have SHUTDOWN, and the rest of the time.
    Extensions,
    /// Everything has been killed.
    Killed,
}

/// `shutdownReason` of the event, in the words of Lambda's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The environment is not needed any more.
    Spindown,
    /// A timeout passed.
    Timeout,
    /// The runtime or an extension failed.
    Failure,
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        })
    }
}

/// How a process of the environment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, or by a signal.
    Exit(ExitStatus),
    /// The environment was at its memory limit.
    OutOfMemory,
}

/// What happened to an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An invocation was assigned to it.
    Invoke,
    /// It shall be initialised before it gets an invocation.
    Initialise,
    /// These extensions were started, or not; none if the image has none, and then
    /// the runtime is being started.
    Launched(Vec<ExtensionLaunch>),
    /// The runtime's entry point runs.
    RuntimeStarted,
    /// The runtime asked for the next event.
    RuntimeNext,
    /// The invocation was answered.
    RuntimeAnswered(Answer),
    /// The runtime reported an error of this type instead of initialising.
    RuntimeInitError(String),
    /// The runtime's process ended.
    RuntimeEnded(Ending),
    /// An external extension's process ended.
    ExtensionEnded(ExtensionIndex, Ending),
    /// Something else went wrong: the runtime could not be started, or memory is
    /// exhausted.
    Failed(Failure),
    /// No process is left.
    AllEnded,
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
    /// So long after [`Effect::BeginStop`].
    Stop(Duration),
}

/// What the actor has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the sandbox, with the CPU of the INIT phase: extensions if there are
    /// any, else the runtime.
    Start,
    /// All external extensions have registered: start the runtime.
    StartRuntime,
    /// SHUTDOWN begins, for this reason.
    BeginStop(ShutdownReason),
    /// SIGTERM to the runtime and what belongs to it.
    TerminateRuntime,
    /// SIGKILL to the runtime and what belongs to it.
    KillRuntime,
    /// SIGKILL to these extensions and what belongs to them.
    KillExtensions(Vec<ExtensionIndex>),
    /// Kill everything in the sandbox; keep `/tmp`.
    KillAll,
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
    /// Log what became of the extensions in INIT.
    ReportExtensions(Vec<ExtensionInfo>),
    /// Say how an INIT ended.
    ReportInit(InitKind, Status),
    /// Log the START of the invocation.
    BeginInvoke,
    /// Give INVOKE to these extensions, which wait in `next`.
    TellInvoke(Vec<ExtensionIndex>),
    /// Give SHUTDOWN to these extensions, which wait in `next`.
    TellShutdown(Vec<ExtensionIndex>),
    /// Give the event to the runtime that waits in `next`.
    HandOut,
    /// Give the caller its answer.
    Reply(Answer),
    /// The runtime is done with the invocation, or never will be. Said again, it
    /// means nothing.
    RuntimeDone(Status),
    /// The environment stays busy with it: extensions are not done.
    AwaitExtensions,
    /// Log END and REPORT and close the invocation.
    EndInvoke(Status),
    /// Tell the caller that this host failed or that the environment was ended.
    Abandon,
    /// It died with nothing to do: whoever keeps it warm has no use for it.
    Died,
}

impl Phase {
    /// Whether an invocation can be assigned now.
    pub fn accepts_invocation(&self) -> bool {
        matches!(self, Self::Fresh | Self::Idle | Self::Down)
    }

    /// Whether an invocation is open.
    pub fn has_invocation(&self) -> bool {
        match self {
            Self::Init(kind) => *kind != InitKind::Provisioned,
            Self::Invoking | Self::Answered => true,
            Self::Stopping { then, finish, .. } => {
                *then == AfterStop::InitAgain || finish.is_some()
            }
            Self::Fresh | Self::Idle | Self::Down | Self::Gone => false,
        }
    }

    /// Whether an invocation finds it initialised.
    pub fn is_warm(&self) -> bool {
        matches!(self, Self::Idle | Self::Invoking | Self::Answered)
    }
}
