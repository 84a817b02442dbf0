//! Execution environments: one actor each, which owns the sandbox, the phase,
//! the Runtime API's state and the open invocation.

mod actor;
mod by_hand;
mod debug;
mod delivery;
mod footprint;
mod invocation;
mod log;
mod meter;
mod queue;
mod shell;
mod standing;
mod subscribers;
mod thrash;
mod timing;
mod tmp_mappings;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use by_hand::Events;
pub(crate) use debug::DebugPort;
pub(crate) use footprint::Footprint;
pub(crate) use invocation::RunningInvocation;
pub use invocation::{EnvironmentGone, Invocation, InvocationAnswer, InvocationResult, Outcome};
pub(crate) use shell::run_shell;
pub(crate) use standing::{Deaths, Standing};

use crate::model::FunctionConfiguration;
use crate::sandbox::SandboxSpec;
use crate::sandbox::client::Launcher;
use crate::telemetry::Sink;

/// What an environment is made of.
#[derive(Debug)]
pub(crate) struct EnvironmentSettings {
    pub(crate) function: FunctionConfiguration,
    /// Without a qualifier.
    pub(crate) function_arn: String,
    pub(crate) spec: SandboxSpec,
    pub(crate) sink: Arc<dyn Sink>,
    /// What this host cannot promise, known before anything runs.
    pub(crate) warnings: Vec<String>,
    /// Told of what those have to know who keep it.
    pub(crate) standing: Arc<Standing>,
    /// Where a debugger comes in. No limit of time counts then.
    pub(crate) debug: Option<Arc<DebugPort>>,
}

/// Lambda's limit for an on-demand INIT.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// Lambda's limit for an INIT with provisioned concurrency, unless the function's
/// timeout is longer.
const PROVISIONED_INIT_LIMIT: Duration = Duration::from_secs(130);

impl EnvironmentSettings {
    /// The limit of an on-demand INIT.
    fn init_limit(&self) -> Duration {
        self.limit(INIT_LIMIT)
    }

    /// The limit of an INIT ahead of invocations.
    fn provisioned_init_limit(&self) -> Duration {
        self.timeout().max(self.limit(PROVISIONED_INIT_LIMIT))
    }

    /// The limit of an invocation.
    fn timeout(&self) -> Duration {
        self.limit(self.function.timeout.duration())
    }

    fn limit(&self, limit: Duration) -> Duration {
        self.debug.as_ref().map_or(limit, |_| debug::LIMIT)
    }
}

/// A handle on one execution environment. It serves one invocation at a time
/// and stays warm between them.
#[derive(Debug)]
pub struct ExecutionEnvironment {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
    standing: Arc<Standing>,
}

/// Why an environment could not be initialised ahead of invocations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitFailure {
    /// The function did not get through its INIT: its own words for it, or Lambda's, if
    /// there are any.
    #[error("the function's INIT failed")]
    Function(Option<String>),
    /// This host could not run it.
    #[error("{0}")]
    Host(String),
}

#[derive(Debug)]
enum Command {
    Prepare,
    Initialise(oneshot::Sender<Result<(), InitFailure>>),
    Invoke(Box<Invocation>, Reply),
    Look(oneshot::Sender<Option<footprint::Places>>),
}

/// Where news of an invocation go, in this order.
#[derive(Debug)]
struct Reply {
    answer: Option<oneshot::Sender<InvocationAnswer>>,
    /// The runtime is done and extensions are not; dropped without a word if none
    /// had to be waited for.
    overhead: Option<oneshot::Sender<()>>,
    result: oneshot::Sender<Result<InvocationResult, EnvironmentGone>>,
}

impl ExecutionEnvironment {
    /// A new environment, which ends when its handle is dropped or `closing` turns
    /// true.
    pub(crate) fn new(
        launcher: &Launcher,
        settings: EnvironmentSettings,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (commands, receiver) = mpsc::channel(1);
        let (sandbox, events) = launcher.sandbox();
        let standing = Arc::clone(&settings.standing);
        let task = tokio::spawn(actor::run(settings, sandbox, events, receiver, closing));
        Self {
            commands,
            task,
            standing,
        }
    }

    /// Has everything made ready that is done before its first process runs, in the
    /// background. Its INIT begins later, and is no different for it.
    pub(crate) fn prepare(&self) {
        // Without room for the command it is about to be started.
        let _ = self.commands.try_send(Command::Prepare);
    }

    /// Initialises it before its first invocation, and waits for that.
    ///
    /// # Errors
    /// It did not work, and the environment has ended.
    pub async fn initialise(&self) -> Result<(), InitFailure> {
        let gone = || InitFailure::Host(EnvironmentGone::ended().to_string());
        let (sender, result) = oneshot::channel();
        let command = Command::Initialise(sender);
        self.commands.send(command).await.map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Whether an invocation finds it initialised.
    pub fn is_warm(&self) -> bool {
        !self.task.is_finished() && self.standing.is_warm()
    }

    /// Whether it has died with nothing to do. An invocation would initialise it
    /// again, in its own time.
    pub fn is_dead(&self) -> bool {
        self.task.is_finished() || self.standing.is_dead()
    }

    /// What it holds now; none if none of its processes run.
    pub(crate) async fn footprint(&self) -> Option<Footprint> {
        let (sender, places) = oneshot::channel();
        self.commands.send(Command::Look(sender)).await.ok()?;
        Some(Footprint::read(&places.await.ok()??))
    }

    /// Runs one invocation to its end, after those before it.
    ///
    /// # Errors
    /// The host could not run the function, or the environment was ended.
    pub async fn invoke(
        &self,
        invocation: Invocation,
    ) -> Result<InvocationResult, EnvironmentGone> {
        self.begin(invocation).await?.finished().await
    }

    /// Takes on an invocation, after those before it.
    ///
    /// # Errors
    /// The environment was ended.
    pub(crate) async fn begin(
        &self,
        invocation: Invocation,
    ) -> Result<RunningInvocation, EnvironmentGone> {
        let (answer, answered) = oneshot::channel();
        let (overhead, runtime_done) = oneshot::channel();
        let (result, finished) = oneshot::channel();
        let reply = Reply {
            answer: Some(answer),
            overhead: Some(overhead),
            result,
        };
        self.commands
            .send(Command::Invoke(Box::new(invocation), reply))
            .await
            .map_err(|_| EnvironmentGone::ended())?;
        Ok(RunningInvocation {
            answer: answered,
            overhead: runtime_done,
            result: finished,
        })
    }

    /// Ends the environment and waits until nothing is left of it: at once, or when
    /// its extensions have had their time.
    pub async fn shutdown(self) {
        drop(self.commands);
        // A panic in the actor has been reported by the runtime already.
        let _ = self.task.await;
    }
}
