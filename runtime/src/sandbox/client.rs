//! The service's side of the launcher.
//!
//! One task owns the socket. Environments get a [`Sandbox`] to command and a
//! channel on which they hear what becomes of it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::cgroup::{self, Cgroup, Hierarchies};
use super::protocol::{
    EnvironmentId, Hello, InitCommand, Notice, Process, Request, SandboxSpec, StartError,
    StartRequest, Started, StopSignal, Streams,
};
use super::{channel, launcher, seal, user_namespace};
use crate::model::ExitStatus;
use crate::sys;

/// The time slice of the thread that answers callers and runtimes: the shortest there is.
/// What it does for one of them takes about as long.
const SERVICE_SLICE_NS: u64 = 100_000;

/// The hidden subcommand that runs the launcher.
pub const LAUNCHER_COMMAND: &str = "__launcher";

/// What became of a sandbox.
#[derive(Debug)]
pub(crate) enum SandboxEvent {
    /// The first processes run.
    Started {
        started: Started,
        /// The Runtime API's listening socket.
        listener: OwnedFd,
        /// `/tmp`, for its size.
        tmp: OwnedFd,
    },
    /// Nothing runs.
    StartFailed(StartError),
    /// The entry point runs; with its process's status file in `/proc`.
    RuntimeStarted(OwnedFd),
    /// The entry point cannot be executed; extensions run.
    RuntimeFailed(StartError),
    /// One of the processes that were started is dead; `Ended` follows when the
    /// environment runs.
    Died,
    /// One of the processes that were started has ended.
    Ended(Process, ExitStatus),
    /// No process is left; how the runtime ended.
    Exited(ExitStatus),
    Removed,
}

enum ClientCommand {
    Register(EnvironmentId, mpsc::UnboundedSender<SandboxEvent>),
    Request(Request, Vec<OwnedFd>),
    Close(oneshot::Sender<()>),
}

/// A running launcher. Dropping it ends every environment in the background;
/// [`Launcher::shutdown`] waits until nothing is left.
#[derive(Debug)]
pub(crate) struct Launcher {
    commands: mpsc::UnboundedSender<ClientCommand>,
    next_id: AtomicU64,
    service: String,
    hierarchies: Hierarchies,
    task: JoinHandle<()>,
    /// Closed when the conversation has ended.
    alive: watch::Receiver<()>,
    child: Mutex<Child>,
}

impl std::fmt::Debug for ClientCommand {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Register(..) => "Register",
            Self::Request(..) => "Request",
            Self::Close(..) => "Close",
        })
    }
}

impl Launcher {
    /// Starts the launcher process.
    pub(crate) fn spawn(
        service: String,
        mount_point: &Path,
        storage_directory: &Path,
    ) -> io::Result<Self> {
        let program = seal::sealed_self(mount_point)?;
        let (ours, theirs) = channel::pair()?;
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&program)
        );
        // The launcher's environment is what a worker's is until the entry
        // point is executed: nothing of the user's belongs there.
        let child = Command::new(path)
            .arg(LAUNCHER_COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        let hello = Hello {
            service: service.clone(),
            mount_point: mount_point.to_owned(),
            storage_directory: storage_directory.to_owned(),
            namespace: user_namespace::current().cloned(),
        };
        // Functions that burn their quotas run for as long at a time: whoever waits for
        // this thread would wait for them. What it cannot have it does without.
        let _ = sys::shorten_slice(SERVICE_SLICE_NS);
        channel::send(&ours, &hello, &[])?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        // A packet socket with connections; tokio has a type only for those
        // without, and asks of it no more than when it is ready.
        let socket = UnixDatagram::from_std(ours.into())?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (living, alive) = watch::channel(());
        let task = tokio::spawn(async move {
            converse(socket, receiver).await;
            drop(living);
        });
        Ok(Self {
            commands,
            next_id: AtomicU64::new(1),
            service,
            hierarchies: Hierarchies::discover()?,
            task,
            alive,
            child: Mutex::new(child),
        })
    }

    /// Resolves when the launcher is gone, and every environment with it.
    pub(crate) async fn gone(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// A new, empty sandbox.
    pub(crate) fn sandbox(&self) -> (Sandbox, mpsc::UnboundedReceiver<SandboxEvent>) {
        let id = EnvironmentId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (sender, events) = mpsc::unbounded_channel();
        // A conversation that has ended drops the sender, which the receiver sees.
        let _ = self.commands.send(ClientCommand::Register(id, sender));
        let sandbox = Sandbox {
            id,
            cgroup: cgroup::environment_group(&self.service, id),
            hierarchies: self.hierarchies.clone(),
            commands: self.commands.clone(),
        };
        (sandbox, events)
    }

    /// Ends every environment and waits until nothing is left of them.
    pub(crate) async fn shutdown(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(ClientCommand::Close(done)).is_ok() {
            let _ = closed.await;
        }
        self.task.abort();
        let _ = self.child.lock().await.wait().await;
        // The launcher removes everything, unless it was killed itself.
        let (hierarchies, service) = (self.hierarchies.clone(), self.service.clone());
        let sweeping = move || launcher::remove_dead_service(&hierarchies, &service);
        let _ = tokio::task::spawn_blocking(sweeping).await;
    }
}

/// One environment's place with the launcher.
#[derive(Debug)]
pub(crate) struct Sandbox {
    id: EnvironmentId,
    cgroup: PathBuf,
    hierarchies: Hierarchies,
    commands: mpsc::UnboundedSender<ClientCommand>,
}

impl Sandbox {
    /// Makes everything ready for a first [`Self::start`] with the same arguments, which
    /// is faster then. No code of the image runs, and nothing is told: what fails here
    /// fails again there.
    pub(crate) fn prepare(&self, spec: SandboxSpec, streams: Streams) {
        let request = Request::Prepare(self.start_request(spec));
        self.request(request, streams.into_descriptors());
    }

    /// Starts the extensions of an image, or if it has none its runtime, or a shell.
    pub(crate) fn start(&self, spec: SandboxSpec, streams: Streams) {
        let request = Request::Start(self.start_request(spec));
        self.request(request, streams.into_descriptors());
    }

    fn start_request(&self, spec: SandboxSpec) -> Box<StartRequest> {
        Box::new(StartRequest {
            environment: self.id,
            spec,
        })
    }

    /// Starts the runtime beside extensions. `RuntimeStarted` or `RuntimeFailed`
    /// follows.
    pub(crate) fn start_runtime(&self) {
        self.command(InitCommand::StartRuntime);
    }

    /// Signals a process and its process group.
    pub(crate) fn signal(&self, process: Process, signal: StopSignal) {
        self.command(InitCommand::Signal(process, signal));
    }

    fn command(&self, command: InitCommand) {
        let environment = self.id;
        let request = Request::Command {
            environment,
            command,
        };
        self.request(request, vec![]);
    }

    /// Kills all processes. `Exited` (or `StartFailed`) follows.
    pub(crate) fn kill(&self) {
        let environment = self.id;
        self.request(Request::Kill { environment }, vec![]);
    }

    /// Removes everything, and waits until nothing is left. What else happens
    /// meanwhile, as `events` say, is of no interest any more.
    pub(crate) async fn remove(&self, events: &mut mpsc::UnboundedReceiver<SandboxEvent>) {
        let environment = self.id;
        self.request(Request::Remove { environment }, vec![]);
        while let Some(event) = events.recv().await {
            if matches!(event, SandboxEvent::Removed) {
                return;
            }
        }
    }

    /// The cgroups of a started runtime.
    pub(crate) fn cgroup(&self) -> io::Result<Cgroup> {
        Cgroup::open(&self.hierarchies, &self.cgroup)
    }

    fn request(&self, request: Request, descriptors: Vec<OwnedFd>) {
        // Without a conversation the event channel is closed, and its end tells.
        let _ = self
            .commands
            .send(ClientCommand::Request(request, descriptors));
    }
}

type Subscribers = HashMap<EnvironmentId, mpsc::UnboundedSender<SandboxEvent>>;

/// Carries requests one way and notices the other until either side ends. Then
/// all subscribers' channels close.
async fn converse(socket: UnixDatagram, mut commands: mpsc::UnboundedReceiver<ClientCommand>) {
    let mut subscribers = Subscribers::new();
    // The launcher may be as busy telling as we are: who only sends would wait for ever.
    let mut outgoing: Option<(Request, Vec<OwnedFd>)> = None;
    loop {
        tokio::select! {
            notice = socket.async_io(Interest::READABLE, || channel::receive::<Notice>(&socket)) => {
                match notice {
                    Ok(Some((notice, descriptors))) => dispatch(&mut subscribers, notice, descriptors),
                    Ok(None) => return,
                    Err(error) => {
                        tracing::error!(%error, "lost the launcher");
                        return;
                    }
                }
            }
            sent = send(&socket, outgoing.as_ref()) => {
                if let (Err(error), Some((request, _))) = (sent, &outgoing) {
                    refuse(&subscribers, request, &error);
                }
                outgoing = None;
            }
            command = commands.recv(), if outgoing.is_none() => match command {
                None => return,
                Some(ClientCommand::Register(id, sender)) => {
                    subscribers.insert(id, sender);
                }
                Some(ClientCommand::Request(request, descriptors)) => {
                    outgoing = Some((request, descriptors));
                }
                Some(ClientCommand::Close(done)) => {
                    drop(socket);
                    let _ = done.send(());
                    return;
                }
            },
        }
    }
}

/// Sends what there is to send, for which it waits for ever if there is nothing.
async fn send(socket: &UnixDatagram, outgoing: Option<&(Request, Vec<OwnedFd>)>) -> io::Result<()> {
    let Some((request, descriptors)) = outgoing else {
        return std::future::pending().await;
    };
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    socket
        .async_io(Interest::WRITABLE, || {
            channel::send(socket, request, &descriptors)
        })
        .await
}

/// A request that could not be sent: too large, as only the image or the user can make it,
/// or the launcher is gone.
fn refuse(subscribers: &Subscribers, request: &Request, error: &io::Error) {
    if let Request::Start(start) = request
        && let Some(subscriber) = subscribers.get(&start.environment)
    {
        let reason = error.to_string();
        let error = match error.kind() {
            io::ErrorKind::InvalidInput => StartError::Entrypoint(reason),
            _ => StartError::Host(reason),
        };
        let _ = subscriber.send(SandboxEvent::StartFailed(error));
    }
}

fn dispatch(subscribers: &mut Subscribers, notice: Notice, descriptors: Vec<OwnedFd>) {
    let (id, event) = match notice {
        Notice::Started {
            environment,
            started,
        } => {
            let Ok([listener, tmp]) = <[OwnedFd; 2]>::try_from(descriptors) else {
                tracing::error!("a start came without its descriptors");
                return;
            };
            let event = SandboxEvent::Started {
                started,
                listener,
                tmp,
            };
            (environment, event)
        }
        Notice::StartFailed { environment, error } => {
            (environment, SandboxEvent::StartFailed(error))
        }
        Notice::RuntimeStarted { environment } => {
            let Ok([status]) = <[OwnedFd; 1]>::try_from(descriptors) else {
                tracing::error!("the start of a runtime came without its descriptor");
                return;
            };
            (environment, SandboxEvent::RuntimeStarted(status))
        }
        Notice::RuntimeFailed { environment, error } => {
            (environment, SandboxEvent::RuntimeFailed(error))
        }
        Notice::Died { environment } => (environment, SandboxEvent::Died),
        Notice::Ended {
            environment,
            process,
            status,
        } => (environment, SandboxEvent::Ended(process, status)),
        Notice::Exited {
            environment,
            status,
        } => (environment, SandboxEvent::Exited(status)),
        Notice::Removed { environment } => (environment, SandboxEvent::Removed),
    };
    let removed = matches!(event, SandboxEvent::Removed);
    if let Some(subscriber) = subscribers.get(&id) {
        // An environment that is gone is not interested.
        let _ = subscriber.send(event);
    }
    if removed {
        subscribers.remove(&id);
    }
}
