//! Execution environments: one actor each, which owns the sandbox, the phase,
//! the Runtime API's state and the open invocation.

mod actor;
mod invocation;
mod log;
mod meter;
mod thrash;
mod tmp_mappings;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use invocation::RunningInvocation;
pub use invocation::{EnvironmentGone, Invocation, InvocationAnswer, InvocationResult, Outcome};

use crate::model::FunctionConfiguration;
use crate::sandbox::SandboxSpec;
use crate::sandbox::client::Launcher;
use crate::telemetry::Sink;

/// What an environment is made of.
#[derive(Debug)]
pub(crate) struct EnvironmentSettings {
    pub(crate) function: FunctionConfiguration,
    pub(crate) function_arn: String,
    pub(crate) spec: SandboxSpec,
    pub(crate) sink: Arc<dyn Sink>,
    /// What this host cannot promise, known before anything runs.
    pub(crate) warnings: Vec<String>,
}

/// A handle on one execution environment. It serves one invocation at a time
/// and stays warm between them.
#[derive(Debug)]
pub struct ExecutionEnvironment {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Invoke(Invocation, Reply),
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
        let task = tokio::spawn(actor::run(settings, sandbox, events, receiver, closing));
        Self { commands, task }
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
            .send(Command::Invoke(invocation, reply))
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
