//! A shell in the place of a function: the same sandbox, with a person at it.

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::by_hand::{ByHand, Events};
use crate::api;
use crate::model::ExitStatus;
use crate::sandbox::client::{Launcher, SandboxEvent};
use crate::sandbox::{Process, SandboxSpec, StartError, Streams};

/// Runs what `spec` says until it ends, and removes its environment. `interrupts` tells of
/// keys that interrupt what runs in there; `say` is told what becomes of events.
///
/// Dropped earlier, the environment ends with the launcher.
///
/// # Errors
/// It did not start, or was lost.
pub(crate) async fn run_shell(
    launcher: &Launcher,
    spec: SandboxSpec,
    streams: Streams,
    events: Events,
    interrupts: mpsc::UnboundedReceiver<()>,
    say: impl Fn(&str),
) -> Result<ExitStatus, StartError> {
    let (sandbox, mut happened) = launcher.sandbox();
    sandbox.start(spec, streams);
    let ended = until_it_ends(&mut happened, events, interrupts, say).await;
    // Whatever the shell has left running goes too.
    sandbox.remove(&mut happened).await;
    ended
}

async fn until_it_ends(
    happened: &mut mpsc::UnboundedReceiver<SandboxEvent>,
    events: Events,
    mut interrupts: mpsc::UnboundedReceiver<()>,
    say: impl Fn(&str),
) -> Result<ExitStatus, StartError> {
    let lost = || StartError::Host("the launcher is gone".to_owned());
    let (sender, mut calls) = mpsc::channel(16);
    let mut api = ByHand::new(events);
    // Ends with this function.
    let mut server = JoinSet::new();
    loop {
        tokio::select! {
            event = happened.recv() => match event {
                Some(SandboxEvent::Started { listener, .. }) => {
                    let listener = TcpListener::from_std(listener.into())
                        .map_err(|error| StartError::Host(format!("the Runtime API: {error}")))?;
                    server.spawn(api::serve(listener, sender.clone()));
                }
                Some(SandboxEvent::StartFailed(error) | SandboxEvent::RuntimeFailed(error)) => {
                    return Err(error);
                }
                Some(SandboxEvent::Ended(Process::Runtime, status) | SandboxEvent::Exited(status)) => {
                    return Ok(status);
                }
                Some(
                    SandboxEvent::RuntimeStarted(_)
                    | SandboxEvent::Died
                    | SandboxEvent::Ended(Process::Extension(_), _),
                ) => {}
                Some(SandboxEvent::Removed) | None => return Err(lost()),
            },
            Some(call) = calls.recv() => {
                if let Some(news) = api.on_call(call) {
                    say(&news);
                }
            }
            Some(()) = interrupts.recv() => api.interrupt(),
        }
    }
}
