//! Starts one runtime and exits: the only code that drives libcontainer.
//!
//! A worker is a fork of the launcher. It moves into a mount and a network
//! namespace of its own, so that nothing it mounts is ever visible on the host
//! and all of it is gone with the container: there is no unmounting anywhere.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use super::cgroup::{self, Hierarchies};
use super::cpus::{CpuView, HostCpus};
use super::executor::FunctionExecutor;
use super::protocol::{
    ExecutorReport, Go, Hello, StartError, StartRequest, Started, StorageKind, Streams,
};
use super::spec::{HOSTNAME, Placement};
use super::storage::{self, LoopDevice};
use super::stragglers::Stragglers;
use super::user_namespace::UserNamespace;
use super::{channel, network};
use crate::sys;

/// What is the same for all workers of a launcher.
#[derive(Debug)]
pub(super) struct Host<'a> {
    pub(super) hello: &'a Hello,
    pub(super) hierarchies: &'a Hierarchies,
    pub(super) cpus: &'a HostCpus,
    pub(super) seccomp: &'a Rc<[libc::sock_filter]>,
}

/// What a worker is given.
#[derive(Debug)]
pub(super) struct Assignment<'a> {
    /// Who has forked it.
    pub(super) launcher: Pid,
    pub(super) host: &'a Host<'a>,
    pub(super) request: &'a StartRequest,
    /// Absolute path below the root of each cgroup hierarchy.
    pub(super) cgroup: &'a Path,
    /// The environment's `/tmp`; `None` where there are no loop devices.
    pub(super) storage: Option<&'a LoopDevice>,
    /// Where what is started reads and writes.
    pub(super) streams: Streams,
    /// Where the container's init reports what becomes of its processes, and takes
    /// commands.
    pub(super) control: OwnedFd,
    /// To wait for [`Go`] when everything is ready.
    pub(super) held: bool,
}

/// The whole life of a worker. The result goes through `report`, on success with
/// the descriptors of the Runtime API's socket and of `/tmp`.
pub(super) fn run(assignment: Assignment<'_>, report: &OwnedFd) {
    let grouped = !assignment.host.hierarchies.is_empty();
    let result = start(assignment, report);
    if result.is_err()
        && !grouped
        && let Ok(stragglers) = Stragglers::of_this_worker()
    {
        stragglers.kill();
    }
    // A launcher that is gone needs no report.
    let _ = match &result {
        Ok((started, listener, tmp)) => channel::send(
            report,
            &Ok::<_, StartError>(started),
            &[listener.as_fd(), tmp.as_fd()],
        ),
        Err(error) => channel::send(report, &Err::<Started, _>(error), &[]),
    };
}

fn start(
    assignment: Assignment<'_>,
    launcher: &OwnedFd,
) -> Result<(Started, OwnedFd, OwnedFd), StartError> {
    let Assignment { host, request, .. } = assignment;
    let spec = &request.spec;
    let work = &host.hello.mount_point;
    // A worker that outlives the launcher would have nobody to report to.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(io::Error::from)
        .map_err(step("set the parent death signal"))?;
    if rustix::process::getppid() != Some(assignment.launcher) {
        return Err(StartError::Killed);
    }
    // What libcontainer makes on the way to a container belongs to this group: if it is
    // killed, the launcher sees whose it was.
    rustix::process::setpgid(None, None)
        .map_err(io::Error::from)
        .map_err(step("lead a process group"))?;
    let mut kept = assignment.streams.descriptors();
    kept.extend([launcher.as_fd(), assignment.control.as_fd()]);
    close_others(&kept).map_err(step("close the descriptors of others"))?;
    sys::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET)
        .map_err(step("create a mount and a network namespace"))?;
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(io::Error::from)
    .map_err(step("make mounts private"))?;
    // A container may be forbidden to name its host, even in a namespace of its own;
    // libcontainer would end there.
    let named = host.hello.namespace.is_some();
    if named {
        sys::unshare(UnshareFlags::NEWUTS).map_err(step("create a UTS namespace"))?;
        let _keeps_the_containers = rustix::system::sethostname(HOSTNAME.as_bytes());
    }
    let listener = network::listen().map_err(step("bind the Runtime API's socket"))?;

    // Everything below this mount is memory of this namespace and dies with it.
    rustix::mount::mount(
        "tmpfs",
        work,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(c"mode=700,size=4m"),
    )
    .map_err(io::Error::from)
    .map_err(step("mount the work area"))?;
    let rootfs = work.join("rootfs");
    let tmp_directory = work.join("tmp");
    let bundle = work.join("bundle");
    let state = work.join("state");
    let cpu_files = work.join("cpus");
    let sysfs = work.join("sys");
    for directory in [&rootfs, &tmp_directory, &bundle, &state, &cpu_files, &sysfs] {
        fs::create_dir(directory).map_err(step("create a directory in the work area"))?;
    }
    if host.hello.namespace.is_some() {
        mount_sysfs(&sysfs).map_err(step("mount sysfs"))?;
    }
    spec.root
        .mount(&rootfs)
        .map_err(|error| StartError::Host(format!("mount the root file system: {error}")))?;
    for attachment in &spec.attachments {
        attachment
            .mount(&rootfs)
            .map_err(|error| StartError::Host(format!("mount code and layers: {error}")))?;
    }
    let limited = !host.hierarchies.is_empty();
    let storage = mount_tmp(assignment.storage, &tmp_directory, spec.tmp_bytes, limited)?;
    let tmp = rustix::fs::openat(
        CWD,
        &tmp_directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(io::Error::from)
    .map_err(step("open /tmp"))?;

    let namespace = host.hello.namespace.as_ref();
    let one_id = namespace.is_some_and(UserNamespace::has_one_id);
    let cpus = host.cpus.view(spec.visible_cpus, request.environment);
    let covers = cpus
        .as_ref()
        .map_or(Ok(vec![]), |cpus| cpus.write(&cpu_files))
        .map_err(step("write the list of CPUs"))?;
    let runtime_spec = super::spec::build(
        spec,
        &Placement {
            rootfs: &rootfs,
            tmp: &tmp_directory,
            cgroup: assignment.cgroup,
            cpuset: cpus.as_ref().and_then(CpuView::cpuset),
            masked: host.cpus.throttling(),
            covers: covers
                .into_iter()
                .map(|(name, covered)| (cpu_files.join(name), covered))
                .collect(),
            tmp_charged_bytes: match storage {
                StorageKind::Loop | StorageKind::Tmpfs => 0,
                StorageKind::ChargedTmpfs => spec.tmp_bytes,
            },
            limited,
            limits_swap: host.hierarchies.limits_swap(),
            limits_sockets: host.hierarchies.limits_sockets(),
            one_id,
            named,
            sysfs: named.then_some(sysfs.as_path()),
        },
    )
    .map_err(|error| StartError::Host(format!("build the runtime spec: {error}")))?;
    runtime_spec
        .save(bundle.join("config.json"))
        .map_err(|error| StartError::Host(format!("write the runtime spec: {error}")))?;

    check_working_directory(&rootfs, &spec.working_directory)?;
    cgroup::delegate(host.hierarchies).map_err(step("limit a function"))?;
    join_freezer(host.hierarchies, assignment.cgroup)
        .map_err(step("join the cgroup that freezes"))?;
    let affinity = cpus.as_ref().map(CpuView::affinity);
    let (report, receiver) = channel::pair().map_err(step("create a socket pair"))?;
    let (stdio, extension_log) = stdio(assignment.streams)?;
    let executor = FunctionExecutor {
        seccomp: Rc::clone(host.seccomp),
        affinity,
        slice_excess_ns: spec.slice_excess_ns,
        one_id,
        limits_processes: !limited,
        report: Rc::new(report),
        control: Rc::new(assignment.control),
        extension_log: extension_log.map(Rc::new),
    };
    let mut container = build_container(&bundle, &state, executor, stdio)?;
    cgroup::deny_swap(host.hierarchies, assignment.cgroup).map_err(step("deny swap"))?;
    if assignment.held {
        let go = channel::receive::<Go>(launcher).map_err(step("wait for the start"))?;
        go.ok_or(StartError::Killed)?;
    }
    let (init, at_ns) = start_container(&mut container)?;
    // The executor's own end closed with `build_container`, and the container's
    // when everything was executed: without extensions there is nothing to receive.
    let report = channel::receive(&receiver).map_err(step("wait for the entry point"))?;
    let extensions = match report {
        None => vec![],
        Some((ExecutorReport::Extensions(extensions), _)) => extensions,
        Some((ExecutorReport::Failed(error), _)) => return Err(error),
    };
    let started = Started {
        init,
        storage,
        extensions,
        at_ns,
    };
    Ok((started, listener, tmp))
}

/// Closes what is the launcher's and other environments' in this process, and so in all
/// that it starts. The service has to see the launcher's end as that of their socket,
/// which is standard input too, also if a container's first process outlives it by a
/// moment; and that process has 1,024 descriptors in all, of which each environment
/// would take several.
fn close_others(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    rustix::stdio::dup2_stdin(open_null()?)?;
    sys::close_all_but(kept)
}

fn open_null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// That of the network namespace, read-only from the start.
fn mount_sysfs(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    Ok(rustix::mount::mount("sysfs", target, "sysfs", flags, None)?)
}

fn mount_tmp(
    device: Option<&LoopDevice>,
    target: &Path,
    bytes: u64,
    limited: bool,
) -> Result<StorageKind, StartError> {
    if let Some(device) = device {
        device.mount(target).map_err(step("mount /tmp"))?;
        Ok(StorageKind::Loop)
    } else {
        storage::mount_tmpfs(target, bytes).map_err(step("mount /tmp"))?;
        Ok(if limited {
            StorageKind::ChargedTmpfs
        } else {
            StorageKind::Tmpfs
        })
    }
}

/// Lambda's own error for a working directory that is not there. libcontainer
/// would enter it as root and say only an errno.
fn check_working_directory(rootfs: &Path, directory: &Path) -> Result<(), StartError> {
    let fail = |reason: &str| {
        Err(StartError::WorkingDirectory(format!(
            "chdir {}: {reason}",
            directory.display()
        )))
    };
    // The mounts over the root are not there yet; they are always directories.
    if ["/tmp", "/proc", "/dev", "/sys"]
        .iter()
        .any(|mount| directory == Path::new(mount))
    {
        return Ok(());
    }
    let Ok(root) = rustix::fs::openat(
        CWD,
        rootfs,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) else {
        return fail("the root file system cannot be opened");
    };
    match rustix::fs::openat2(
        root,
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS,
    ) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::NOENT) => fail("no such file or directory"),
        Err(rustix::io::Errno::NOTDIR) => fail("not a directory"),
        Err(error) => fail(&error.to_string()),
    }
}

/// On hosts with v1 controllers libcontainer leaves the v2 hierarchy alone.
/// The worker joins it, and all that it starts is born there.
fn join_freezer(hierarchies: &Hierarchies, cgroup: &Path) -> io::Result<()> {
    let Some(v2) = hierarchies.v2().filter(|_| !hierarchies.unified()) else {
        return Ok(());
    };
    let group = v2.join(cgroup.strip_prefix("/").unwrap_or(cgroup));
    fs::create_dir_all(&group)?;
    fs::write(group.join("cgroup.procs"), "0")
}

/// Standard input, output and error of the entry point, and the log of extensions if
/// they are to be started.
fn stdio(streams: Streams) -> Result<([OwnedFd; 3], Option<OwnedFd>), StartError> {
    let (log, extension_log) = match streams {
        Streams::Function { log, extension_log } => (log, extension_log),
        Streams::Shell {
            input,
            output,
            error,
        } => return Ok(([input, output, error], None)),
    };
    let null = open_null().map_err(step("open /dev/null"))?;
    let log_again = log.try_clone().map_err(step("duplicate the log"))?;
    Ok(([null, log, log_again], Some(extension_log)))
}

/// Creates the container, with its limits, up to the entry point.
fn build_container(
    bundle: &Path,
    state: &Path,
    executor: FunctionExecutor,
    [input, output, error]: [OwnedFd; 3],
) -> Result<Container, StartError> {
    ContainerBuilder::new("function".to_owned(), SyscallType::default())
        .with_executor(executor)
        .with_stdin(input)
        .with_stdout(output)
        .with_stderr(error)
        .with_root_path(state)
        .map_err(|error| container_error(&error))?
        .as_init(bundle)
        .with_systemd(false)
        // The launcher, not this worker, becomes the parent of init.
        .as_sibling(true)
        .with_detach(true)
        .build()
        .map_err(|error| container_error(&error))
}

/// Lets the container go. Returns init's pid and the time.
fn start_container(container: &mut Container) -> Result<(i32, u64), StartError> {
    let init = container
        .pid()
        .ok_or_else(|| StartError::Host("libcontainer reports no pid".to_owned()))?
        .as_raw();
    let at_ns = super::monotonic_ns();
    container.start().map_err(|error| container_error(&error))?;
    Ok((init, at_ns))
}

fn container_error(error: &libcontainer::error::LibcontainerError) -> StartError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    StartError::Host(format!("libcontainer: {text}"))
}

fn step(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::Host(format!("{what}: {error}"))
}
