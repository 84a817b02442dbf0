//! What the host says of itself, to any process.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::super::facts::{
    Facts, Place, Refusal, Shared, Storage, Store, Tried, User, UserNamespaces,
};
use super::{Request, cgroups};
use crate::model::USER_ID;
use crate::sandbox::storage;

/// The pid namespace that the kernel starts with (`PROC_PID_INIT_INO`): whoever is
/// in it is in no container.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Bit of `CAP_SYS_ADMIN`, linux/capability.h.
const CAP_SYS_ADMIN: u64 = 1 << 21;

pub(super) fn look_around(request: &Request) -> Facts {
    let memory = read("/proc/meminfo");
    let swap_mb = kilobytes(&memory, "SwapTotal:").map(|kb| kb >> 10);
    Facts {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        place: place(),
        raspberry_pi: read("/proc/device-tree/model").starts_with("Raspberry Pi"),
        user: user(&read("/proc/self/status"), &read("/proc/self/uid_map")),
        user_namespaces: UserNamespaces {
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            max: number("/proc/sys/user/max_user_namespaces"),
            tried: match &request.refused {
                Some(reason) => Tried::Fails(Refusal {
                    step: "make a user namespace".to_owned(),
                    errno: 0,
                    reason: reason.clone(),
                }),
                None => Tried::Untried,
            },
        },
        namespace: request.namespace.clone(),
        cgroups: cgroups::look_around(),
        storage: Storage {
            ready_mb: storage::ready_sizes(&request.storage)
                .into_iter()
                .map(|bytes| bytes >> 20)
                .collect(),
            ..Storage::default()
        },
        store: store(&request.store),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mb: memory_mb(&memory),
        swap_mb,
        shared: shared(),
        ..Facts::default()
    }
}

/// The nearest directory that is there: where another would be made.
pub(super) fn existing_ancestor(directory: &Path) -> PathBuf {
    directory
        .ancestors()
        .find(|ancestor| ancestor.is_dir())
        .unwrap_or_else(|| Path::new("/"))
        .to_owned()
}

fn place() -> Place {
    let exists = |path: &str| Path::new(path).exists();
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let docker = exists("/.dockerenv");
    // What is left over in the image of a virtual machine proves nothing.
    let first = rustix::fs::readlink("/proc/self/ns/pid", vec![]);
    if first.is_ok_and(|name| name.as_bytes() == FIRST_PID_NAMESPACE.as_bytes()) {
        return if read("/proc/sys/kernel/osrelease")
            .to_lowercase()
            .contains("microsoft")
        {
            Place::Wsl
        } else {
            Place::Machine
        };
    }
    if set("KUBERNETES_SERVICE_HOST") {
        Place::Kubernetes
    } else if docker && set("GITHUB_ACTIONS") {
        Place::GithubContainer
    } else if exists("/run/.containerenv") {
        Place::Podman
    } else if docker {
        Place::Docker
    } else if set("container") || exists("/run/systemd/container") {
        Place::Container
    } else {
        Place::Machine
    }
}

fn user(status: &str, uid_map: &str) -> User {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    // The host's own namespace maps all numbers to themselves.
    let whole: Vec<_> = uid_map.split_whitespace().collect();
    User {
        uid: rustix::process::geteuid().as_raw(),
        sys_admin: effective & CAP_SYS_ADMIN != 0,
        in_user_namespace: !whole.is_empty() && whole != ["0", "0", "4294967295"],
    }
}

fn store(directory: &Path) -> Store {
    let existing = existing_ancestor(directory);
    let free =
        rustix::fs::statvfs(&existing).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    Store {
        directory: directory.to_owned(),
        file_system: file_system(&read("/proc/self/mountinfo"), &existing),
        free_mb: free.ok().map(|bytes| bytes >> 20),
        ..Store::default()
    }
}

/// The kind of file system that a directory is on: that of the last mount whose
/// mount point leads to it.
fn file_system(mountinfo: &str, directory: &Path) -> String {
    let real = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let mut best = (0, "an unknown file system");
    for line in mountinfo.lines() {
        // id, parent, device, root, mount point, options, …, "-", kind, source
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(point), Some(kind)) = (before.split(' ').nth(4), after.split(' ').next()) else {
            continue;
        };
        if real.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), kind);
        }
    }
    best.1.to_owned()
}

/// The host's memory, or what the container that this is may have of it: groups
/// of functions are below its group then.
fn memory_mb(memory: &str) -> Option<u64> {
    let host = kilobytes(memory, "MemTotal:")? >> 10;
    // The root group of a host has no such file, and v1's there has no limit.
    let limit: Option<u64> = number("/sys/fs/cgroup/memory.max")
        .or_else(|| number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    Some(limit.map_or(host, |bytes| host.min(bytes >> 20)))
}

fn shared() -> Shared {
    let most = |path: &str| number::<u64>(path).unwrap_or(u64::MAX);
    let threads = most("/proc/sys/kernel/threads-max").min(most("/proc/sys/kernel/pid_max"));
    let host = running(&read("/proc/loadavg")).map(|now| threads.saturating_sub(now));
    let container = number::<u64>("/sys/fs/cgroup/pids.max")
        .and_then(|most| Some(most.saturating_sub(number("/sys/fs/cgroup/pids.current")?)));
    Shared {
        keys: number("/proc/sys/kernel/keys/maxkeys")
            .map(|most: u64| most.saturating_sub(keys_in_use(&read("/proc/key-users")))),
        processes: host.into_iter().chain(container).min(),
        inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
    }
}

/// All processes and threads, from `/proc/loadavg`: "0.1 0.2 0.3 2/345 678".
fn running(loadavg: &str) -> Option<u64> {
    loadavg
        .split_whitespace()
        .nth(3)?
        .split_once('/')?
        .1
        .parse()
        .ok()
}

/// The keys that the functions' user has, from `/proc/key-users`:
/// "  993:     9 8/8 3/200 40/20000", of which 3 count against the limit.
fn keys_in_use(users: &str) -> u64 {
    let prefix = format!("{USER_ID}:");
    users
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(&prefix))
        .and_then(|fields| {
            fields
                .split_whitespace()
                .nth(2)?
                .split_once('/')?
                .0
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

fn kilobytes(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn number<T: FromStr>(path: &str) -> Option<T> {
    read(path).trim().parse().ok()
}

/// What is not there says nothing.
fn read(path: &str) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_the_kernels_tables() {
        assert_eq!(running("3.02 2.87 2.74 4/98 23634\n"), Some(98));
        let users = "    0:     9 8/8 3/1000000 40/25000000\n  993:    12 12/12 12/200 300/20000\n";
        assert_eq!(keys_in_use(users), 12);
        assert_eq!(keys_in_use("    0:     9 8/8 3/1000000 40/25000000\n"), 0);
        let memory = "MemTotal:       24635928 kB\nSwapTotal:             0 kB\n";
        assert_eq!(kilobytes(memory, "MemTotal:"), Some(24_635_928));
        assert_eq!(kilobytes(memory, "SwapTotal:"), Some(0));
        assert_eq!(kilobytes(memory, "SwapFree:"), None);
    }

    #[test]
    fn who_root_of_a_namespace_is() {
        let admin = "CapEff:\t000001fffeffffff\n";
        let host = user(admin, "         0          0 4294967295\n");
        assert!(host.sys_admin && !host.in_user_namespace);
        let rootless = user(admin, "         0       1000          1\n");
        assert!(rootless.sys_admin && rootless.in_user_namespace);
        let docker = user("CapEff:\t00000000a80425fb\n", "0 0 4294967295\n");
        assert!(!docker.sys_admin);
    }

    #[test]
    fn the_last_mount_over_a_directory_counts() {
        let table = "\
23 1 254:0 / / rw - ext4 /dev/vda rw
24 23 0:22 / /tmp rw - tmpfs tmpfs rw
25 24 0:23 / /tmp rw shared:4 - overlay overlay rw
26 23 0:24 / /tmpfs rw - xfs /dev/vdb rw
";
        assert_eq!(file_system(table, Path::new("/")), "ext4");
        assert_eq!(file_system(table, Path::new("/tmp")), "overlay");
        assert_eq!(file_system("", Path::new("/")), "an unknown file system");
    }
}
