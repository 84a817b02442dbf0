//! A group like that of a function, with its limits, a process that is frozen,
//! and nothing left of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};

use super::super::facts::{CgroupLayout, Cgroups, Refusal, Tried};
use crate::model::{CPU_PERIOD_US, MemorySize};
use crate::sandbox::cgroup::{Hierarchies, TOP, service_group};
use crate::sandbox::remove_dead_service;
use crate::sys::{self, Fork};

/// Names of groups of this module begin with this. A service's never does.
const PREFIX: &str = "probe-";

/// A group of this age has nobody who will remove it: probing ends after seconds.
const STALE: Duration = Duration::from_secs(60);

/// How long a process may take to freeze. Microseconds is what it takes.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// `statfs` types of what may be mounted at `/sys/fs/cgroup`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// What the mounts and files tell by themselves.
pub(super) fn look_around() -> Cgroups {
    // What is mounted for a user namespace without groups is nothing to use.
    let none = Hierarchies::discover().is_ok_and(|hierarchies| hierarchies.is_empty());
    let layout = if none { CgroupLayout::None } else { layout() };
    let mut cgroups = Cgroups {
        layout,
        memory_disabled: fs::read_to_string("/proc/cgroups")
            .is_ok_and(|table| memory_is_disabled(&table)),
        ..Cgroups::default()
    };
    let Ok(hierarchies) = Hierarchies::discover() else {
        return cgroups;
    };
    if layout != CgroupLayout::None && !hierarchies.unified() {
        if !hierarchies.limits_swap() {
            let unlimited = io::Error::from(io::ErrorKind::NotFound);
            cgroups.swap =
                Tried::Fails(Refusal::new("find memory.memsw.limit_in_bytes", &unlimited));
        }
        if hierarchies.v2().is_none() {
            let freezer = file(&hierarchies, "freezer", "", "").and_then(fs::metadata);
            cgroups.freezer = Tried::of("find a freezer", freezer);
        }
    }
    cgroups
}

fn layout() -> CgroupLayout {
    let kind = |path: &str| {
        rustix::fs::statfs(path).map_or(0, |stat| u64::try_from(stat.f_type).unwrap_or(0))
    };
    match kind("/sys/fs/cgroup") {
        CGROUP2_MAGIC => CgroupLayout::Unified,
        TMPFS_MAGIC if kind("/sys/fs/cgroup/unified") == CGROUP2_MAGIC => CgroupLayout::Hybrid,
        TMPFS_MAGIC => CgroupLayout::Legacy,
        _ => CgroupLayout::None,
    }
}

/// Reads `/proc/cgroups`: name, hierarchy, groups, enabled.
fn memory_is_disabled(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.first() == Some(&"memory") && fields.last() == Some(&"0")
    })
}

pub(super) fn probe(cgroups: &mut Cgroups) {
    if cgroups.layout == CgroupLayout::None {
        return;
    }
    let hierarchies = match Hierarchies::discover() {
        Ok(hierarchies) => hierarchies,
        Err(error) => {
            cgroups.group = Tried::Fails(Refusal::new("read the mount table", &error));
            return;
        }
    };
    remove_stale(&hierarchies);
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("{PREFIX}{}", &id[..12]);
    let member = Member::start();
    match member {
        Ok(member) => {
            try_group(
                cgroups,
                &hierarchies,
                &service_group(&name).join("1"),
                &member,
            );
            member.end();
        }
        Err(error) => cgroups.group = Tried::Fails(Refusal::new("fork", &error)),
    }
    remove_dead_service(&hierarchies, &name);
}

/// Groups of probing processes that were killed.
fn remove_stale(hierarchies: &Hierarchies) {
    let tops = hierarchies.mount_points().map(|root| root.join(&TOP[1..]));
    for entry in tops
        .filter_map(|top| fs::read_dir(top).ok())
        .flatten()
        .flatten()
    {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let stale = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE));
        if let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| name.starts_with(PREFIX))
            && stale
        {
            remove_dead_service(hierarchies, name);
        }
    }
}

fn try_group(cgroups: &mut Cgroups, hierarchies: &Hierarchies, group: &Path, member: &Member) {
    let unified = hierarchies.unified();
    let below = group.strip_prefix("/").unwrap_or(group);
    cgroups.group = Tried::Works;
    for root in roots(hierarchies) {
        let directory = root.join(below);
        let made = fs::create_dir_all(&directory);
        cgroups.group = first_refusal(
            &cgroups.group,
            Tried::of(&format!("make a group in {}", root.display()), made),
        );
        if unified {
            cgroups.delegation = delegate(&root, below);
        }
        let joined = write(&directory.join("cgroup.procs"), &member.pid.to_string());
        cgroups.group = first_refusal(
            &cgroups.group,
            Tried::of(
                &format!("move a process into a group in {}", root.display()),
                joined,
            ),
        );
    }
    let write = |controller: &str, name: &str, value: &str| {
        let written = file(hierarchies, controller, below, name)
            .and_then(|path| write(&path, value))
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ENOENT) => missing_controller("group of ours", controller),
                _ => error,
            });
        Tried::of(&format!("write {name}"), written)
    };
    let bytes = MemorySize::MIN.bytes().to_string();
    let quota = MemorySize::MIN.cpu_quota_us();
    cgroups.processes = write("pids", "pids.max", "1024");
    if unified {
        cgroups.memory = write("memory", "memory.max", &bytes);
        cgroups.swap = write("memory", "memory.swap.max", "0");
        cgroups.cpu = write("cpu", "cpu.max", &format!("{quota} {CPU_PERIOD_US}"));
    } else {
        cgroups.memory = write("memory", "memory.limit_in_bytes", &bytes);
        cgroups.swap = write("memory", "memory.memsw.limit_in_bytes", &bytes);
        cgroups.cpu = write("cpu", "cpu.cfs_period_us", &CPU_PERIOD_US.to_string());
        for tried in [
            write("cpu", "cpu.cfs_quota_us", &quota.to_string()),
            // What a function used is read from there.
            Tried::of(
                "find cpuacct",
                file(hierarchies, "cpuacct", below, "cpuacct.usage").and_then(fs::metadata),
            ),
        ] {
            cgroups.cpu = first_refusal(&cgroups.cpu, tried);
        }
        cgroups.devices = write("devices", "devices.deny", "a *:* rwm");
    }
    cgroups.freezer = freeze(hierarchies, below);
}

/// The roots of the hierarchies in which functions have groups.
fn roots(hierarchies: &Hierarchies) -> Vec<PathBuf> {
    const CONTROLLERS: [&str; 6] = ["memory", "cpu", "cpuacct", "pids", "devices", "freezer"];
    let mut roots: Vec<PathBuf> = vec![];
    let v1 = CONTROLLERS
        .iter()
        .filter_map(|controller| hierarchies.v1(controller));
    for root in v1.chain(hierarchies.v2()) {
        if !roots.iter().any(|known| known == root) {
            roots.push(root.to_owned());
        }
    }
    roots
}

/// Enables the controllers down to the group's parent, as every start does.
fn delegate(root: &Path, below: &Path) -> Tried {
    let mut tried = Tried::Works;
    let mut directory = root.to_owned();
    for component in below {
        for controller in ["+memory", "+cpu", "+pids"] {
            let written = write(&directory.join("cgroup.subtree_control"), controller);
            let step = format!(
                "write {controller} to {}/cgroup.subtree_control",
                directory.display()
            );
            tried = first_refusal(&tried, Tried::of(&step, written));
        }
        directory.push(component);
    }
    tried
}

/// Stops the processes of a group and lets them go, v2's way where there is one.
fn freeze(hierarchies: &Hierarchies, below: &Path) -> Tried {
    let v2 = hierarchies.v2().map(|root| root.join(below));
    let attempt = || -> io::Result<()> {
        if let Some(group) = v2.filter(|group| group.join("cgroup.freeze").exists()) {
            let switch = group.join("cgroup.freeze");
            write(&switch, "1")?;
            wait_for(&group.join("cgroup.events"), "frozen 1")?;
            return write(&switch, "0");
        }
        let switch = file(hierarchies, "freezer", below, "freezer.state")?;
        write(&switch, "FROZEN")?;
        wait_for(&switch, "FROZEN")?;
        write(&switch, "THAWED")
    };
    Tried::of("freeze a process", attempt())
}

fn wait_for(file: &Path, text: &str) -> io::Result<()> {
    let deadline = Instant::now() + FREEZE_LIMIT;
    while !fs::read_to_string(file)?.lines().any(|line| line == text) {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "it goes on running",
            ));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// A file of a group, in the hierarchy that has the controller.
fn file(
    hierarchies: &Hierarchies,
    controller: &str,
    below: impl AsRef<Path>,
    name: &str,
) -> io::Result<PathBuf> {
    let root = if hierarchies.unified() {
        hierarchies.v2()
    } else {
        hierarchies.v1(controller)
    };
    root.map(|root| root.join(below).join(name))
        .ok_or_else(|| missing_controller("mounted hierarchy", controller))
}

fn missing_controller(place: &str, controller: &str) -> io::Error {
    let text = format!("no {place} has the {controller} controller");
    io::Error::new(io::ErrorKind::NotFound, text)
}

/// Writes to a file that the kernel has made, and never makes one.
fn write(path: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(
        &mut fs::File::options().write(true).open(path)?,
        value.as_bytes(),
    )
}

fn first_refusal(earlier: &Tried, later: Tried) -> Tried {
    if earlier.refusal().is_some() {
        earlier.clone()
    } else {
        later
    }
}

/// A process to be put into groups. It waits until nobody needs it.
struct Member {
    pid: i32,
    /// Closing it is the end of the process.
    _leash: std::os::fd::OwnedFd,
}

impl Member {
    fn start() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        match sys::fork()? {
            Fork::Child => {
                drop(writer);
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                let _ = rustix::io::read(&reader, &mut [0_u8; 1]);
                sys::exit_now(0)
            }
            Fork::Parent(pid) => Ok(Self {
                pid: Pid::as_raw(Some(pid)),
                _leash: writer,
            }),
        }
    }

    fn end(self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_off_is_told_from_one_that_is_absent() {
        let header = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";
        for (table, disabled) in [
            ("cpu\t1\t1\t1\nmemory\t0\t1\t0\n", true),
            ("cpu\t1\t1\t1\nmemory\t4\t54\t1\n", false),
            ("cpu\t1\t1\t0\n", false),
        ] {
            assert_eq!(
                memory_is_disabled(&format!("{header}{table}")),
                disabled,
                "{table}"
            );
        }
    }
}
