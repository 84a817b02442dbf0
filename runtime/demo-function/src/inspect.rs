//! What the function sees of its surroundings.

use crate::tmp::{errno, names};
use rustix::process::{Resource, getgid, getgroups, getrlimit, getuid};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Lines of `/proc/self/status` that tell the rights of the process.
const RIGHTS: [&str; 7] = [
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];
/// Permission bits, with set-id and sticky.
const MODE_BITS: u32 = 0o7777;

/// The environment variables.
pub(crate) fn environment() -> Value {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned().into(),
            )
        })
        .collect::<Map<_, _>>()
        .into()
}

/// Everything at once: one invocation serves many assertions.
pub(crate) fn inspect() -> Value {
    let status = status();
    let groups = getgroups().unwrap_or_default();
    json!({
        "uid": getuid().as_raw(),
        "gid": getgid().as_raw(),
        "groups": groups.iter().map(|group| group.as_raw()).collect::<Vec<_>>(),
        "cwd": std::env::current_dir().ok(),
        "umask": status.get("Umask"),
        "status": RIGHTS
            .iter()
            .map(|name| ((*name).to_owned(), json!(status.get(*name))))
            .collect::<Map<_, _>>(),
        "nofile": descriptor_limit(),
        "cpus": cpus(),
        "rootWrite": root_write(),
        "devShm": Path::new("/dev/shm").exists(),
        "dev": names("/dev"),
        "fds": descriptors(),
        "hostname": rustix::system::uname().nodename().to_string_lossy(),
        "resolvConf": fs::read_to_string("/etc/resolv.conf").ok(),
        "mounts": lines("/proc/self/mountinfo"),
        "tmp": fs::metadata("/tmp").ok().map(|tmp| json!({
            "mode": format!("{:04o}", tmp.mode() & MODE_BITS),
            "uid": tmp.uid(),
            "gid": tmp.gid(),
        })),
        "pids": names("/proc")
            .iter()
            .filter_map(|name| name.parse::<u32>().ok())
            .collect::<Vec<_>>(),
        "interfaces": lines("/proc/net/dev")
            .iter()
            .filter_map(|line| Some(line.split_once(':')?.0.trim()))
            .collect::<Vec<_>>(),
    })
}

/// `/proc/self/status` as a map of strings.
fn status() -> Map<String, Value> {
    lines("/proc/self/status")
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().into()))
        .collect()
}

/// How many CPUs there are, by each of the ways to find out.
fn cpus() -> Value {
    let count = |path: &str, counts: fn(&str) -> bool| {
        lines(path).iter().filter(|line| counts(line)).count()
    };
    json!({
        "scheduler": rustix::thread::sched_getaffinity(None).map(|set| set.count()).ok(),
        "cpuinfo": count("/proc/cpuinfo", |line| line.starts_with("processor")),
        "stat": count("/proc/stat", |line| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        }),
        "online": fs::read_to_string("/sys/devices/system/cpu/online").ok(),
    })
}

/// Soft and hard limit of open files; null stands for unlimited.
fn descriptor_limit() -> Value {
    let limit = getrlimit(Resource::Nofile);
    json!({ "soft": limit.current, "hard": limit.maximum })
}

/// Whether the root directory takes a new file, and why not.
fn root_write() -> Value {
    let probe = "/.lambent-probe";
    let result = File::create(probe);
    if result.is_ok() {
        // A probe left behind would make the next one less telling, no more.
        let _removed = fs::remove_file(probe);
    }
    json!({ "writable": result.is_ok(), "errno": errno(&result) })
}

/// Open descriptors and what they stand for, without the one that looks.
fn descriptors() -> Map<String, Value> {
    let directory = Path::new("/proc/self/fd");
    names(directory)
        .into_iter()
        .filter_map(|name| {
            let target = fs::read_link(directory.join(&name)).ok()?;
            Some((name, target.to_string_lossy().into_owned().into()))
        })
        .collect()
}

/// The lines of a file; none when it cannot be read.
fn lines(path: &str) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}
