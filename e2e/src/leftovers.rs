//! What an installation has on the host outside of its root directory.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};

/// Things that must be gone when nothing runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Processes in the installation's cgroups, and launchers.
    pub processes: Vec<String>,
    /// Directories of the installation's services.
    pub cgroups: Vec<PathBuf>,
    /// Mounts in this mount namespace below the root directory.
    pub mounts: Vec<String>,
    /// Loop devices with a file below the root directory.
    pub loop_devices: Vec<String>,
    /// Files below the root directory that only a running service has.
    pub files: Vec<PathBuf>,
}

impl Leftovers {
    /// Looks for everything that belongs to the installation at `root`.
    /// `services` are the names that its services had (see [`services`]).
    ///
    /// # Panics
    /// If `/proc` or `/sys` cannot be read.
    pub fn of(root: &Path, services: &[String]) -> Self {
        let root_text = root.to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table");
        let cgroups = mounts
            .lines()
            .filter(|line| {
                line.split(' ')
                    .nth(2)
                    .is_some_and(|kind| kind.starts_with("cgroup"))
            })
            .filter_map(|line| line.split(' ').nth(1))
            .flat_map(|hierarchy| {
                services
                    .iter()
                    .map(move |service| Path::new(hierarchy).join("lambent").join(service))
            })
            .filter(|group| group.exists())
            .collect();
        Self {
            processes: processes(services),
            cgroups,
            mounts: mounts
                .lines()
                .filter(|line| line.contains(&root_text))
                .map(str::to_owned)
                .collect(),
            loop_devices: loop_devices(&root_text),
            files: entries(&root.join("run/sandbox")),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The names of services that run, or were killed, at `root`.
pub fn services(root: &Path) -> Vec<String> {
    entries(&root.join("run/services"))
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        // A claim that is not complete yet has no service behind it.
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return vec![];
    };
    let of_thread = |thread: fs::DirEntry| {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children = children.split_whitespace().map(str::parse);
        children.flatten().collect::<Vec<_>>()
    };
    threads.flatten().flat_map(of_thread).collect()
}

/// The only child of a process.
///
/// # Panics
/// If it has none, or several.
pub fn only_child(pid: u32) -> u32 {
    match children(pid).as_slice() {
        [only] => *only,
        other => panic!("children of {pid}: {other:?}"),
    }
}

/// Process 1 of each environment of a service in which something of the function runs.
/// What stands by for the next cold start has none of its processes.
pub fn inits(service: u32) -> Vec<u32> {
    let launchers = children(service).into_iter();
    let mut inits: Vec<_> = launchers.flat_map(children).collect();
    inits.retain(|pid| !children(*pid).is_empty());
    inits
}

/// The only one of [`inits`].
///
/// # Panics
/// If there is none, or there are several.
pub fn only_init(service: u32) -> u32 {
    match inits(service).as_slice() {
        [only] => *only,
        other => panic!("environments of {service} in which something runs: {other:?}"),
    }
}

/// Kills a process that a test has found, as the kernel or a person might.
///
/// # Panics
/// If there is none.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), Signal::KILL).expect("a process");
}

/// Whether a process exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

fn processes(services: &[String]) -> Vec<String> {
    let mut found = vec![];
    for entry in entries(Path::new("/proc")) {
        let Ok(cgroup) = fs::read_to_string(entry.join("cgroup")) else {
            continue;
        };
        let pid = entry
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        // A zombie is a number that its new parent has not yet looked at.
        if !pid.is_some_and(alive) {
            continue;
        }
        if services
            .iter()
            .any(|service| cgroup.contains(&format!("/lambent/{service}/")))
        {
            let name = fs::read_to_string(entry.join("comm")).unwrap_or_default();
            found.push(format!("{} {}", entry.display(), name.trim()));
        }
    }
    found
}

fn loop_devices(root: &str) -> Vec<String> {
    entries(Path::new("/sys/block"))
        .iter()
        .filter_map(|device| fs::read_to_string(device.join("loop/backing_file")).ok())
        .filter(|file| file.starts_with(root))
        .collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}
