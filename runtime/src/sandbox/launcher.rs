//! The launcher: one process with one thread per service, the parent of every
//! container.
//!
//! It runs from a sealed view of the program, with its end of the control socket
//! as standard input. It knows nothing of HTTP, images or policy: it forks a
//! [`worker`] for each start, reaps what ends, and removes cgroups. When the
//! socket closes, the service is gone, however it ended; then everything goes.

mod child;
mod environment;
mod groups;
mod processes;

pub(crate) use groups::remove_dead_service;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, WaitOptions};

use self::environment::Environment;
use super::cgroup::Hierarchies;
use super::channel;
use super::cpus::HostCpus;
use super::protocol::{
    EnvironmentId, Hello, InitReport, Notice, Request, StartError, StartRequest, Streams,
};
use super::seccomp;
use super::stragglers;
use super::user_namespace;
use super::worker::Host;
use crate::model::ExitStatus;
use crate::sys;

/// How long the launcher tries to remove everything after its service is gone.
const CLEANUP_LIMIT: Duration = Duration::from_secs(10);

/// How often it looks again while a killed environment's cgroups are not empty.
const CLEANUP_INTERVAL: Duration = Duration::from_millis(2);

/// Runs the launcher on `control` until the service is gone.
///
/// # Errors
/// The host lacks what the launcher itself needs. The service learns that from
/// the closed socket and the launcher's standard error.
pub fn run(control: OwnedFd) -> io::Result<()> {
    // Its own session: a ctrl-C is for the service, which then tells us.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let Some((hello, _)) = channel::receive::<Hello>(&control)? else {
        return Ok(());
    };
    if let Some(namespace) = &hello.namespace {
        user_namespace::adopt(namespace.clone());
        // The user's other groups are not the function's. With a single id the
        // kernel does not let go of them.
        let _ = rustix::thread::set_thread_groups(&[]);
    }
    let hierarchies = Hierarchies::discover()?;
    let mut launcher = Launcher {
        control,
        ended: sys::child_signals()?,
        hello,
        cpus: HostCpus::discover(&hierarchies)?,
        hierarchies,
        seccomp: seccomp::compile(&seccomp::lambda_profile()).into(),
        environments: BTreeMap::new(),
        unclaimed: BTreeMap::new(),
    };
    let served = launcher.serve();
    launcher.clean_up();
    served
}

struct Launcher {
    control: OwnedFd,
    /// Readable when a child has ended.
    ended: OwnedFd,
    hello: Hello,
    hierarchies: Hierarchies,
    cpus: HostCpus,
    seccomp: Rc<[libc::sock_filter]>,
    environments: BTreeMap<EnvironmentId, Environment>,
    /// Exit statuses of children that no environment has claimed yet: an init
    /// may end before its worker has told us its pid.
    unclaimed: BTreeMap<i32, ExitStatus>,
}

/// What an environment begins.
type Begin = fn(&mut Environment, &Host<'_>, &StartRequest, Streams) -> Result<(), StartError>;

/// Which descriptor [`Launcher::wait`] woke up for.
enum Ready {
    Control,
    Worker(EnvironmentId),
    Init(EnvironmentId),
    /// A process that an init has started.
    Process(EnvironmentId),
    Child,
}

impl Launcher {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            for ready in self.wait(true)? {
                match ready {
                    Ready::Control => match channel::receive::<Request>(&self.control)? {
                        None => return Ok(()),
                        Some((request, descriptors)) => self.perform(request, descriptors)?,
                    },
                    Ready::Worker(id) => self.read_report(id)?,
                    Ready::Init(id) => self.read_init(id)?,
                    Ready::Process(id) => self.process_died(id)?,
                    Ready::Child => {}
                }
            }
            self.settle()?;
        }
    }

    /// Waits for something to do. With `control` unset, only for children.
    fn wait(&self, control: bool) -> io::Result<Vec<Ready>> {
        let mut sources: Vec<(Ready, BorrowedFd<'_>)> = vec![(Ready::Child, self.ended.as_fd())];
        if control {
            sources.push((Ready::Control, self.control.as_fd()));
        }
        for (id, environment) in &self.environments {
            if let Some(report) = environment.report() {
                sources.push((Ready::Worker(*id), report));
            }
            if let Some(init) = environment.init() {
                sources.push((Ready::Init(*id), init));
            }
            let deaths = environment.processes().deaths();
            sources.extend(deaths.map(|process| (Ready::Process(*id), process)));
        }
        let removing = self.environments.values().any(Environment::is_removing);
        let timeout = (removing || !control).then(|| Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(CLEANUP_INTERVAL.subsec_nanos()),
        });
        let mut polled: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, source)| PollFd::from_borrowed_fd(*source, PollFlags::IN))
            .collect();
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = polled
            .iter()
            .map(|source| !source.revents().is_empty())
            .collect();
        Ok(sources
            .into_iter()
            .zip(ready)
            .filter_map(|((source, _), ready)| ready.then_some(source))
            .collect())
    }

    fn perform(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        match request {
            Request::Prepare(request) => {
                // What has failed is done again when it matters.
                let _ = self.begin(&request, descriptors, Environment::prepare);
                Ok(())
            }
            Request::Start(request) => self.start(&request, descriptors),
            Request::Command {
                environment,
                command,
            } => {
                if let Some(environment) = self.environments.get(&environment) {
                    environment.command(command);
                }
                Ok(())
            }
            Request::Kill { environment } => {
                if let Some(environment) = self.environments.get_mut(&environment) {
                    environment.kill(&self.hierarchies);
                }
                Ok(())
            }
            Request::Remove { environment } => match self.environments.get_mut(&environment) {
                Some(environment) => {
                    environment.remove(&self.hierarchies);
                    Ok(())
                }
                None => self.notify(&Notice::Removed { environment }, &[]),
            },
        }
    }

    fn start(&mut self, request: &StartRequest, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        match self.begin(request, descriptors, Environment::start) {
            Ok(()) => Ok(()),
            Err(error) => self.notify(
                &Notice::StartFailed {
                    environment: request.environment,
                    error,
                },
                &[],
            ),
        }
    }

    /// Lets an environment, which may be new, begin what was requested.
    fn begin(
        &mut self,
        request: &StartRequest,
        descriptors: Vec<OwnedFd>,
        begin: Begin,
    ) -> Result<(), StartError> {
        let streams = Streams::from_descriptors(descriptors).ok_or_else(|| {
            StartError::Host("the descriptors of the log did not come along".to_owned())
        })?;
        let id = request.environment;
        let environment = self
            .environments
            .entry(id)
            .or_insert_with(|| Environment::new(&self.hello, id));
        let host = Host {
            hello: &self.hello,
            hierarchies: &self.hierarchies,
            cpus: &self.cpus,
            seccomp: &self.seccomp,
        };
        begin(environment, &host, request, streams)
    }

    /// A worker has reported, or has ended without a word.
    fn read_report(&mut self, id: EnvironmentId) -> io::Result<()> {
        let Some(environment) = self.environments.get_mut(&id) else {
            return Ok(());
        };
        let Some(report) = environment.take_report(&self.hierarchies, &self.unclaimed) else {
            return Ok(());
        };
        match report {
            Ok((started, descriptors)) => {
                let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                let without_extensions = started.extensions.is_empty();
                let notice = Notice::Started {
                    environment: id,
                    started,
                };
                self.notify(&notice, &descriptors)?;
                if without_extensions {
                    self.runtime_started(id, &[])?;
                }
                Ok(())
            }
            Err(error) => self.notify(
                &Notice::StartFailed {
                    environment: id,
                    error,
                },
                &[],
            ),
        }
    }

    /// An init has said something, or is about to end.
    fn read_init(&mut self, id: EnvironmentId) -> io::Result<()> {
        let Some(environment) = self.environments.get_mut(&id) else {
            return Ok(());
        };
        let notice = match environment.take_init_report() {
            None => return Ok(()),
            Some(InitReport::RuntimeStarted(pids)) => return self.runtime_started(id, &pids),
            Some(InitReport::RuntimeFailed(error)) => Notice::RuntimeFailed {
                environment: id,
                error,
            },
            Some(InitReport::Ended(process, status)) => Notice::Ended {
                environment: id,
                process,
                status,
            },
        };
        self.notify(&notice, &[])
    }

    /// A runtime runs; init has started these processes, or only the runtime.
    fn runtime_started(&mut self, id: EnvironmentId, pids: &[i32]) -> io::Result<()> {
        let Some(environment) = self.environments.get_mut(&id) else {
            return Ok(());
        };
        // Without `/proc` of a process that is gone already there is nothing to tell:
        // its end follows.
        match environment.watch_processes(pids) {
            Ok(status) => self.notify(
                &Notice::RuntimeStarted { environment: id },
                &[status.as_fd()],
            ),
            Err(_) => Ok(()),
        }
    }

    /// A process is dead, and its init may not be able to say so.
    fn process_died(&mut self, id: EnvironmentId) -> io::Result<()> {
        let environment = self.environments.get_mut(&id);
        // Several may have died since the service was told.
        if environment.is_some_and(Environment::take_deaths) {
            self.notify(&Notice::Died { environment: id }, &[])
        } else {
            Ok(())
        }
    }

    /// Reaps what has ended, tells the service, and removes what can go.
    fn settle(&mut self) -> io::Result<()> {
        self.reap()?;
        self.bury_workers()?;
        let ended = |(id, environment): (&EnvironmentId, &Environment)| {
            environment.has_ended(&self.unclaimed).then_some(*id)
        };
        let ended: Vec<_> = self.environments.iter().filter_map(ended).collect();
        for id in ended {
            // The last words of an init come before the news of its end.
            while self.has_last_words(id) {
                self.read_init(id)?;
            }
        }
        let mut notices = vec![];
        for (id, environment) in &mut self.environments {
            if let Some(status) = environment.claim_exit(&mut self.unclaimed) {
                notices.push(Notice::Exited {
                    environment: *id,
                    status,
                });
            }
        }
        let hierarchies = &self.hierarchies;
        self.environments.retain(|id, environment| {
            let gone = environment.try_remove(hierarchies);
            if gone {
                notices.push(Notice::Removed { environment: *id });
            }
            !gone
        });
        if !self.environments.values().any(Environment::is_starting) {
            // Workers and intermediate processes that nobody asks about: their numbers
            // come to mean others.
            self.unclaimed.clear();
        }
        for notice in notices {
            self.notify(&notice, &[])?;
        }
        Ok(())
    }

    /// Reads the last reports of workers that have ended. Of one that was killed there is
    /// none.
    fn bury_workers(&mut self) -> io::Result<()> {
        let lost = |(id, environment): (&EnvironmentId, &Environment)| {
            environment.has_lost_worker(&self.unclaimed).then_some(*id)
        };
        let lost: Vec<_> = self.environments.iter().filter_map(lost).collect();
        for id in lost {
            let environment = self.environments.get_mut(&id);
            if !environment.is_some_and(|environment| environment.forget_lost(&self.hierarchies)) {
                self.read_report(id)?;
            }
            if self.hierarchies.is_empty() {
                let known = self.environments.values().flat_map(Environment::children);
                stragglers::kill_orphans(&known.collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    /// Whether an init that has ended has said something that nobody has read.
    fn has_last_words(&self, id: EnvironmentId) -> bool {
        let environment = self.environments.get(&id);
        environment.is_some_and(|environment| environment.init().is_some_and(child::is_readable))
    }

    fn reap(&mut self) -> io::Result<()> {
        // One read takes all that is pending of one signal.
        let _ = rustix::io::read(&self.ended, &mut [0; sys::SIGNAL_BYTES]);
        while let Some(pid) = sys::ended_child()? {
            let group = rustix::process::getpgid(Some(pid));
            let Some((_, status)) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)?
            else {
                return Ok(());
            };
            let status = ExitStatus::from_wait(status);
            let pid = Pid::as_raw(Some(pid));
            if let (ExitStatus::Signal(_), Ok(group)) = (status, group) {
                let group = Pid::as_raw(Some(group));
                for environment in self.environments.values() {
                    environment.was_killed(pid, group);
                }
            }
            self.unclaimed.insert(pid, status);
        }
        Ok(())
    }

    /// Tells the service. If it is gone, the next turn of the loop finds out.
    fn notify(&self, notice: &Notice, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        match channel::send(&self.control, notice, descriptors) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// The service is gone: leave nothing.
    fn clean_up(&mut self) {
        for environment in self.environments.values_mut() {
            environment.remove(&self.hierarchies);
        }
        let deadline = Instant::now() + CLEANUP_LIMIT;
        while !self.environments.is_empty() && Instant::now() < deadline {
            // Reports of workers are of no interest any more, their ends are.
            if self.wait(false).is_err() || self.settle().is_err() {
                break;
            }
        }
        groups::remove_service(&self.hierarchies, &self.hello.service);
    }
}
