//! What the launcher keeps of one execution environment.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::Pid;

use super::super::cgroup::{self, Hierarchies};
use super::super::channel;
use super::super::protocol::{EnvironmentId, Hello, StartError, StartRequest, Started};
use super::super::storage::LoopDevice;
use super::super::worker::{self, Assignment, Host};
use super::child::Child;
use super::groups;
use crate::model::ExitStatus;
use crate::sys::{self, Fork};

/// The process that is between us and the entry point.
#[derive(Debug)]
struct Worker {
    child: Child,
    report: OwnedFd,
}

/// One environment: at most one worker or one init, `/tmp`, and cgroups.
#[derive(Debug)]
pub(super) struct Environment {
    cgroup: PathBuf,
    storage: Option<LoopDevice>,
    worker: Option<Worker>,
    init: Option<Child>,
    /// Where init says how the runtime ended.
    exit_report: Option<OwnedFd>,
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
            exit_report: None,
            leaving: vec![],
            killed: false,
            removing: false,
        }
    }

    /// Forks a worker that starts a runtime.
    pub(super) fn start(
        &mut self,
        host: &Host<'_>,
        request: &StartRequest,
        log: OwnedFd,
    ) -> Result<(), StartError> {
        if self.worker.is_some() || self.init.is_some() || self.removing {
            return Err(StartError::Host("the environment is in use".to_owned()));
        }
        if self.storage.is_none() {
            let directory = &host.hello.storage_directory;
            // Without loop devices the worker falls back to a tmpfs and says so.
            self.storage =
                LoopDevice::create(directory, request.spec.tmp_bytes).map_err(|error| {
                    let directory = directory.display();
                    StartError::Host(format!("make the file behind /tmp in {directory}: {error}"))
                })?;
        }
        self.killed = false;
        let (report, report_sender) =
            channel::pair().map_err(|error| StartError::Host(format!("socketpair: {error}")))?;
        let (exit_report, exit_report_sender) =
            channel::pair().map_err(|error| StartError::Host(format!("socketpair: {error}")))?;
        match sys::fork().map_err(|error| StartError::Host(format!("fork: {error}")))? {
            Fork::Child => {
                worker::run(
                    Assignment {
                        host,
                        request,
                        cgroup: &self.cgroup,
                        storage: self.storage.as_ref(),
                        log,
                        exit_report: exit_report_sender,
                    },
                    &report_sender,
                );
                sys::exit_now(0)
            }
            Fork::Parent(pid) => {
                let child = Child::open(Pid::as_raw(Some(pid)))
                    .map_err(|error| StartError::Host(format!("pidfd_open: {error}")))?;
                self.worker = Some(Worker { child, report });
                self.exit_report = Some(exit_report);
                Ok(())
            }
        }
    }

    /// The socket on which a report is expected.
    pub(super) fn report(&self) -> Option<BorrowedFd<'_>> {
        self.worker.as_ref().map(|worker| worker.report.as_fd())
    }

    /// Descriptors that become readable when a child ends. A worker's report
    /// ends with it, so the worker itself is not among them.
    pub(super) fn children(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.init
            .iter()
            .chain(&self.leaving)
            .map(|child| child.pidfd.as_fd())
    }

    /// Reads the worker's report and lets it go.
    pub(super) fn take_report(
        &mut self,
        hierarchies: &Hierarchies,
    ) -> Result<(Started, Vec<OwnedFd>), StartError> {
        let Some(worker) = self.worker.take() else {
            return Err(StartError::Host("a report without a worker".to_owned()));
        };
        let report = channel::receive::<Result<Started, StartError>>(&worker.report);
        self.leaving.push(worker.child);
        let result = match report {
            Ok(Some((Ok(started), mut descriptors))) => {
                let init = Child::open(started.init);
                let status = runtime_status(started.init);
                match (init, status) {
                    (Ok(init), Ok(status)) => {
                        self.init = Some(init);
                        descriptors.push(status.into());
                        Ok((started, descriptors))
                    }
                    (Err(error), _) | (_, Err(error)) => Err(StartError::Host(format!(
                        "open the container's init: {error}"
                    ))),
                }
            }
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
        match result {
            Err(_) if self.killed => Err(StartError::Killed),
            other => other,
        }
    }

    /// Kills the runtime, or its start. Init takes its whole pid namespace along.
    pub(super) fn kill(&mut self, hierarchies: &Hierarchies) {
        self.killed = true;
        if let Some(worker) = &self.worker {
            worker.child.kill();
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

    /// Whether no child of this environment is still to be told apart.
    pub(super) fn is_settled(&self) -> bool {
        self.worker.is_none() && self.init.is_none() && self.leaving.is_empty()
    }

    /// How the runtime ended, once it and all that it started are gone.
    pub(super) fn claim_exit(
        &mut self,
        unclaimed: &mut BTreeMap<i32, ExitStatus>,
    ) -> Option<ExitStatus> {
        self.leaving
            .retain(|worker| unclaimed.remove(&worker.pid).is_none());
        let init = self.init.as_ref()?;
        let own = unclaimed.remove(&init.pid)?;
        self.init = None;
        // An init that was killed says nothing of the runtime, which died with it.
        let reported = self
            .exit_report
            .take()
            .and_then(|report| channel::receive::<ExitStatus>(report).ok().flatten());
        Some(reported.map_or(own, |(status, _)| status))
    }

    /// If the environment is to be removed and its processes are gone, removes
    /// its groups. Returns whether nothing is left.
    pub(super) fn try_remove(&mut self, hierarchies: &Hierarchies) -> bool {
        if !self.removing {
            return false;
        }
        if let Some(worker) = &self.worker {
            // Its report (at least the end of it) is not read when the service
            // is gone; reading it there is cheap and keeps one path.
            if ended(&worker.child) {
                let _ = self.take_report(hierarchies);
            }
            return false;
        }
        if self.init.is_some() {
            return false;
        }
        groups::kill(hierarchies, &self.cgroup);
        groups::remove(hierarchies, &self.cgroup)
    }
}

/// The status file of the runtime process. Init is not reaped yet, so its pid
/// still means it. If the runtime has ended already, init's own file does: its
/// numbers are small.
fn runtime_status(init: i32) -> io::Result<fs::File> {
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children"));
    children
        .unwrap_or_default()
        .split_whitespace()
        .next()
        .and_then(|runtime| fs::File::open(format!("/proc/{runtime}/status")).ok())
        .map_or_else(|| fs::File::open(format!("/proc/{init}/status")), Ok)
}

fn ended(child: &Child) -> bool {
    let mut poll = [rustix::event::PollFd::new(
        &child.pidfd,
        rustix::event::PollFlags::IN,
    )];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(rustix::event::poll(&mut poll, Some(&now)), Ok(count) if count > 0)
}
