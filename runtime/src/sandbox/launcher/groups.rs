//! Killing and removing whole cgroups, in every hierarchy that has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use super::super::cgroup::{Hierarchies, TOP, service_group};
use super::child::Child;
use super::{CLEANUP_INTERVAL, CLEANUP_LIMIT};

/// Kills every process of a group, frozen or not. For groups whose init is not
/// known: a start that went wrong half-way, or a service that is dead.
pub(super) fn kill(hierarchies: &Hierarchies, group: &Path) {
    for directory in directories(hierarchies, group) {
        if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
            continue;
        }
        let Ok(processes) = fs::read_to_string(directory.join("cgroup.procs")) else {
            continue;
        };
        for pid in processes.lines().filter_map(|line| line.parse().ok()) {
            if let Ok(child) = Child::open(pid) {
                child.kill();
            }
        }
    }
    release(hierarchies, group);
}

/// Lets the processes of a group run, so that they can die: a v1 freezer holds
/// even killed ones (v2's does not), and hundreds of processes with a fourteenth
/// of a CPU between them take minutes to end.
pub(super) fn release(hierarchies: &Hierarchies, group: &Path) {
    for directory in directories(hierarchies, group) {
        for (file, value) in [
            ("freezer.state", "THAWED"),
            ("cpu.cfs_quota_us", "-1"),
            ("cpu.max", "max"),
        ] {
            let file = directory.join(file);
            if file.exists() {
                // The group may be gone by now, which is as good.
                let _ = fs::write(file, value);
            }
        }
    }
}

/// Removes a group everywhere. Returns whether nothing is left of it: a group
/// with processes cannot be removed.
pub(super) fn remove(hierarchies: &Hierarchies, group: &Path) -> bool {
    // All are tried, also when one refuses.
    let refused = directories(hierarchies, group)
        .iter()
        .filter(|directory| fs::remove_dir(directory).is_err())
        .count();
    refused == 0
}

/// Removes the groups of a service without environments, and Lambent's own
/// parent group if no other service has any.
pub(super) fn remove_service(hierarchies: &Hierarchies, service: &str) {
    remove(hierarchies, &service_group(service));
    // Fails, as it should, where another service's groups are.
    for directory in directories(hierarchies, Path::new(TOP)) {
        let _ = fs::remove_dir(directory);
    }
}

/// Kills and removes everything of a service that is dead, launcher included.
pub(crate) fn remove_dead_service(hierarchies: &Hierarchies, service: &str) {
    let top = service_group(service);
    let mut groups: BTreeSet<PathBuf> = directories(hierarchies, &top)
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flat_map(Iterator::flatten)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| top.join(entry.file_name()))
        .collect();
    let deadline = Instant::now() + CLEANUP_LIMIT;
    while !groups.is_empty() && Instant::now() < deadline {
        groups.retain(|group| {
            kill(hierarchies, group);
            !remove(hierarchies, group)
        });
        if !groups.is_empty() {
            sleep(CLEANUP_INTERVAL);
        }
    }
    remove_service(hierarchies, service);
}

/// The directories of a group that exist.
fn directories(hierarchies: &Hierarchies, group: &Path) -> Vec<PathBuf> {
    let below = group.strip_prefix("/").unwrap_or(group);
    hierarchies
        .mount_points()
        .map(|root| root.join(below))
        .filter(|directory| directory.is_dir())
        .collect()
}
