//! Killing and removing whole cgroups, in every hierarchy that has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;

use super::super::cgroup::Hierarchies;
use super::child::Child;
use super::{CLEANUP_INTERVAL, CLEANUP_LIMIT};

/// The parent of all groups of Lambent.
const TOP: &str = "/lambent";

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
    thaw(hierarchies, group);
}

/// Lets the processes of a group run, so that they can die: a v1 freezer holds
/// even killed ones. (v2's does not, and has nothing to do here.)
pub(super) fn thaw(hierarchies: &Hierarchies, group: &Path) {
    for directory in directories(hierarchies, group) {
        let freezer = directory.join("freezer.state");
        if freezer.exists() {
            let _ = fs::write(freezer, "THAWED");
        }
    }
}

/// Removes a group everywhere. Returns whether nothing is left of it: a group
/// with processes cannot be removed.
pub(super) fn remove(hierarchies: &Hierarchies, group: &Path) -> bool {
    directories(hierarchies, group)
        .iter()
        .all(|directory| fs::remove_dir(directory).is_ok())
}

/// Removes the groups of a service without environments, and Lambent's own
/// parent group if no other service has any.
pub(super) fn remove_service(hierarchies: &Hierarchies, service: &str) {
    remove(hierarchies, &Path::new(TOP).join(service));
    // Fails, as it should, where another service's groups are.
    for directory in directories(hierarchies, Path::new(TOP)) {
        let _ = fs::remove_dir(directory);
    }
}

/// Kills and removes everything of a service that is dead, launcher included.
pub(in super::super) fn remove_dead_service(hierarchies: &Hierarchies, service: &str) {
    let top = Path::new(TOP).join(service);
    for directory in directories(hierarchies, &top) {
        let Ok(entries) = fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let group = top.join(entry.file_name());
            kill(hierarchies, &group);
            for _ in 0..CLEANUP_LIMIT.as_millis() / CLEANUP_INTERVAL.as_millis() {
                if remove(hierarchies, &group) {
                    break;
                }
                sleep(CLEANUP_INTERVAL);
            }
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
