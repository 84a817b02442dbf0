//! What the launcher keeps of one execution environment.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::Pid;

use super::super::cgroup::{self, Hierarchies};
use super::super::channel;
use super::super::protocol::{
    EnvironmentId, Go, Hello, InitCommand, InitReport, Process, StartError, StartRequest, Started,
    Streams,
};
use super::super::storage::LoopDevice;
use super::super::stragglers::Stragglers;
use super::super::worker::{self, Assignment, Host};
use super::child::{self, Child};
use super::groups;
use super::processes::Processes;
use crate::model::ExitStatus;
use crate::sys::{self, Fork};

/// The process that is between us and the entry point.
#[derive(Debug)]
struct Worker {
    child: Child,
    report: OwnedFd,
    /// It makes everything ready, and then waits for [`Go`].
    held: bool,
}

/// One environment: at most one worker or one init, `/tmp`, and cgroups.
#[derive(Debug)]
pub(super) struct Environment {
    cgroup: PathBuf,
    storage: Option<LoopDevice>,
    worker: Option<Worker>,
    init: Option<Child>,
    /// Where init says what becomes of its processes, and takes commands.
    control: Option<OwnedFd>,
    /// What init has started.
    processes: Processes,
    /// How the runtime ended, if it did before init.
    runtime: Option<ExitStatus>,
    /// Workers that have reported, until they have been reaped.
    leaving: Vec<Child>,
    killed: bool,
    removing: bool,
}

impl Environment {
    pub(super) fn new(hello: &Hello, id: EnvironmentId) -> Self {
        Self {
            cgroup: cgroup::environment_group(&hello.service, id),
            storage: None,
            worker: None,
            init: None,
            control: None,
            processes: Processes::default(),
            runtime: None,
            leaving: vec![],
            killed: false,
            removing: false,
        }
    }

    /// Forks a worker that makes everything ready to start the environment's processes,
    /// and waits.
    pub(super) fn prepare(
        &mut self,
        host: &Host<'_>,
        request: &StartRequest,
        streams: Streams,
    ) -> Result<(), StartError> {
        self.fork_worker(host, request, streams, true)
    }

    /// Starts the environment's processes: by the worker that has everything ready, or
    /// by a new one.
    pub(super) fn start(
        &mut self,
        host: &Host<'_>,
        request: &StartRequest,
        streams: Streams,
    ) -> Result<(), StartError> {
        if self.let_go(host.hierarchies) {
            return Ok(());
        }
        self.fork_worker(host, request, streams, false)
    }

    /// Lets the worker go that waits, if there is one. One that has failed is forgotten,
    /// with what it has begun.
    fn let_go(&mut self, hierarchies: &Hierarchies) -> bool {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.held) else {
            return false;
        };
        // It says nothing before it is let go, unless it has failed. What it has made
        // holds its socket, so that its end does not show there.
        let failed = child::is_readable(worker.report.as_fd()) || worker.child.ended();
        if !failed && channel::send(&worker.report, &Go, &[]).is_ok() {
            worker.held = false;
            return true;
        }
        self.forget_held(hierarchies);
        false
    }

    /// Gives up what stands by.
    fn forget_held(&mut self, hierarchies: &Hierarchies) {
        if let Some(worker) = self.worker.take_if(|worker| worker.held) {
            worker.child.kill();
            self.leaving.push(worker.child);
            groups::kill(hierarchies, &self.cgroup);
        }
    }

    fn fork_worker(
        &mut self,
        host: &Host<'_>,
        request: &StartRequest,
        streams: Streams,
        held: bool,
    ) -> Result<(), StartError> {
        if self.worker.is_some() || self.init.is_some() || self.removing {
            return Err(StartError::Host("the environment is in use".to_owned()));
        }
        // No user namespace has loop devices.
        if self.storage.is_none() && host.hello.namespace.is_none() {
            let directory = &host.hello.storage_directory;
            // Without loop devices the worker falls back to a tmpfs and says so.
            self.storage =
                LoopDevice::create(directory, request.spec.tmp_bytes).map_err(|error| {
                    let directory = directory.display();
                    StartError::Host(format!("make the file behind /tmp in {directory}: {error}"))
                })?;
        }
        self.killed = false;
        self.runtime = None;
        let socketpair = |error| StartError::Host(format!("socketpair: {error}"));
        let (report, report_sender) = channel::pair().map_err(socketpair)?;
        let (control, init_control) = channel::pair().map_err(socketpair)?;
        // What an init says is read when it is there, and at its end.
        rustix::io::ioctl_fionbio(&control, true)
            .map_err(|error| StartError::Host(format!("FIONBIO: {error}")))?;
        let launcher = rustix::process::getpid();
        match sys::fork().map_err(|error| StartError::Host(format!("fork: {error}")))? {
            Fork::Child => {
                worker::run(
                    Assignment {
                        launcher,
                        host,
                        request,
                        cgroup: &self.cgroup,
                        storage: self.storage.as_ref(),
                        streams,
                        control: init_control,
                        held,
                    },
                    &report_sender,
                );
                sys::exit_now(0)
            }
            Fork::Parent(pid) => {
                let child = Child::open(Pid::as_raw(Some(pid)))
                    .map_err(|error| StartError::Host(format!("pidfd_open: {error}")))?;
                self.worker = Some(Worker {
                    child,
                    report,
                    held,
                });
                self.control = Some(control);
                Ok(())
            }
        }
    }

    /// The socket on which a report is expected.
    pub(super) fn report(&self) -> Option<BorrowedFd<'_>> {
        let worker = self.worker.as_ref().filter(|worker| !worker.held);
        worker.map(|worker| worker.report.as_fd())
    }

    /// Where init speaks, once it runs.
    pub(super) fn init(&self) -> Option<BorrowedFd<'_>> {
        let control = self.control.as_ref().filter(|_| self.init.is_some());
        control.map(AsFd::as_fd)
    }

    /// What init has said, if it has.
    pub(super) fn take_init_report(&mut self) -> Option<InitReport> {
        match channel::receive::<InitReport>(self.control.as_ref()?) {
            Ok(Some((report, _))) => {
                if let InitReport::Ended(Process::Runtime, status) = report {
                    self.runtime = Some(status);
                }
                Some(report)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // It is gone, or will be.
            Ok(None) | Err(_) => {
                self.control = None;
                None
            }
        }
    }

    /// Passes a command on to init. One that is gone needs none.
    pub(super) fn command(&self, command: InitCommand) {
        if let Some(control) = &self.control {
            let _ = channel::send(control, &command, &[]);
        }
    }

    /// What init has started, as far as it is watched.
    pub(super) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Watches what init has started: see [`Processes::watch`].
    pub(super) fn watch_processes(&mut self, pids: &[i32]) -> io::Result<OwnedFd> {
        let init = self.init.as_ref().filter(|init| init.pidfd().is_some());
        let init = init.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let status = self.processes.watch(init.pid, pids);
        if self.killed {
            self.processes.forget();
        }
        status
    }

    /// Whether anything has died that init has started and that nobody kills.
    pub(super) fn take_deaths(&mut self) -> bool {
        self.processes.take_deaths()
    }

    /// A child that was nobody's has been killed, by somebody or for want of memory. On
    /// the way to a container libcontainer makes a process that cannot say so, and the
    /// worker and the container's first process would wait for each other for ever. It
    /// is of the worker's process group.
    pub(super) fn was_killed(&self, pid: i32, group: i32) {
        if let Some(worker) = self.worker.as_ref()
            && worker.child.pid == group
            && pid != group
        {
            worker.child.kill();
        }
    }

    /// The pids of its children of which the launcher knows.
    pub(super) fn children(&self) -> impl Iterator<Item = i32> {
        let worker = self.worker.iter().map(|worker| &worker.child);
        let others = self.init.iter().chain(&self.leaving);
        worker.chain(others).map(|child| child.pid)
    }

    /// Whether its worker has ended and nobody has asked why.
    pub(super) fn has_lost_worker(&self, reaped: &BTreeMap<i32, ExitStatus>) -> bool {
        let worker = self.worker.as_ref();
        worker.is_some_and(|worker| reaped.contains_key(&worker.child.pid))
    }

    /// Forgets a worker that has ended before it was let go. A start makes a new one.
    /// Returns whether there was one.
    pub(super) fn forget_lost(&mut self, hierarchies: &Hierarchies) -> bool {
        let lost = self.worker.as_ref().is_some_and(|worker| worker.held);
        if lost {
            self.forget_held(hierarchies);
        }
        lost
    }

    /// Reads the worker's report and lets it go. None if there is no worker.
    pub(super) fn take_report(
        &mut self,
        hierarchies: &Hierarchies,
        reaped: &BTreeMap<i32, ExitStatus>,
    ) -> Option<Result<(Started, Vec<OwnedFd>), StartError>> {
        let worker = self.worker.take()?;
        // What a worker has made holds its socket too: after a worker's end there may be
        // nothing to read, not even the end.
        let report = if worker.child.ended() && !child::is_readable(worker.report.as_fd()) {
            Ok(None)
        } else {
            channel::receive::<Result<Started, StartError>>(&worker.report)
        };
        self.leaving.push(worker.child);
        let opened = |pid: i32| match reaped.get(&pid) {
            Some(_) => Ok(Child::reaped(pid)),
            None => Child::open(pid),
        };
        let result = match report {
            Ok(Some((Ok(started), descriptors))) => match opened(started.init) {
                Ok(init) => {
                    if self.killed {
                        init.kill();
                    }
                    self.init = Some(init);
                    Ok((started, descriptors))
                }
                Err(error) => Err(StartError::Host(format!(
                    "open the container's init: {error}"
                ))),
            },
            Ok(Some((Err(error), _))) => Err(error),
            Ok(None) => Err(StartError::Host(
                "the worker ended without a report".to_owned(),
            )),
            Err(error) => Err(StartError::Host(format!(
                "read the worker's report: {error}"
            ))),
        };
        if result.is_err() {
            groups::kill(hierarchies, &self.cgroup);
        }
        Some(match result {
            Err(_) if self.killed => Err(StartError::Killed),
            other => other,
        })
    }

    /// Kills all processes, or their start. Init takes its whole pid namespace along.
    pub(super) fn kill(&mut self, hierarchies: &Hierarchies) {
        self.killed = true;
        self.processes.forget();
        if let Some(worker) = &self.worker {
            // Before nobody can tell any more who belongs to it.
            let started = hierarchies
                .is_empty()
                .then(|| Stragglers::of(worker.child.pid));
            worker.child.kill();
            if let Some(Ok(started)) = started {
                started.kill();
            }
            groups::kill(hierarchies, &self.cgroup);
        }
        if let Some(init) = &self.init {
            init.kill();
            groups::release(hierarchies, &self.cgroup);
        }
    }

    pub(super) fn remove(&mut self, hierarchies: &Hierarchies) {
        self.kill(hierarchies);
        self.removing = true;
    }

    pub(super) fn is_removing(&self) -> bool {
        self.removing
    }

    /// Whether it may have a child of which the launcher does not know yet.
    pub(super) fn is_starting(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| !worker.held)
    }

    /// How the runtime ended, or else init, once all processes are gone. What init
    /// has said is to be taken before.
    pub(super) fn claim_exit(
        &mut self,
        unclaimed: &mut BTreeMap<i32, ExitStatus>,
    ) -> Option<ExitStatus> {
        self.leaving
            .retain(|worker| unclaimed.remove(&worker.pid).is_none());
        let init = self.init.as_ref()?;
        let own = unclaimed.remove(&init.pid)?;
        self.init = None;
        self.control = None;
        self.processes.forget();
        // An init that was killed says nothing of the runtime, which died with it.
        Some(self.runtime.take().unwrap_or(own))
    }

    /// Whether init has ended and is not yet claimed.
    pub(super) fn has_ended(&self, unclaimed: &BTreeMap<i32, ExitStatus>) -> bool {
        let init = self.init.as_ref();
        init.is_some_and(|init| unclaimed.contains_key(&init.pid))
    }

    /// If the environment is to be removed and its processes are gone, removes
    /// its groups. Returns whether nothing is left.
    pub(super) fn try_remove(&mut self, hierarchies: &Hierarchies) -> bool {
        if !self.removing || self.worker.is_some() || self.init.is_some() {
            return false;
        }
        groups::kill(hierarchies, &self.cgroup);
        groups::remove(hierarchies, &self.cgroup)
    }
}
