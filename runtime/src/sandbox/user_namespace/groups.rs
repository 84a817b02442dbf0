//! Whether there are cgroups for functions.
//!
//! An ordinary user has those below its own group, if whoever made that group
//! delegated it: systemd does for `systemd-run --user --scope -p Delegate=yes`. In
//! a cgroup namespace the own group is the root of what is mounted, so that all
//! code below works on it as on the root of a host's hierarchy.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::super::cgroup::{Hierarchies, OWN_VIEW, delegate};
use super::Ungrouped;

/// Where this command is while its group is divided: v2 wants no processes in a
/// group that hands its controllers on. It goes with the group that it is in.
const OWN: &str = "lambent.self";

/// Mounts the own group as the root of a hierarchy, for this process and its
/// children, and divides it.
///
/// # Errors
/// There is no such group. Then nothing can be made in what is mounted.
pub(super) fn divide() -> Result<(), Ungrouped> {
    mount().map_err(|error| Ungrouped {
        reason: format!("mount cgroup2: {error}"),
        shared: false,
    })?;
    let divided = take_apart();
    if divided.is_err() {
        // What could be made, but limits nothing, nobody would remove. A refusal to
        // change it leaves groups that are made and stay empty.
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        let _ = rustix::mount::mount_remount(OWN_VIEW, flags, c"");
    }
    divided.map_err(|error| Ungrouped {
        shared: error.kind() == io::ErrorKind::ResourceBusy,
        reason: error.to_string(),
    })
}

/// What is mounted in this namespace stays in it.
pub(super) fn keep_mounts_here() -> io::Result<()> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("change mounts: {error}"))
    })
}

fn mount() -> io::Result<()> {
    keep_mounts_here()?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let own = || rustix::mount::mount("cgroup2", OWN_VIEW, "cgroup2", flags, None);
    match own() {
        Err(Errno::BUSY) => {}
        other => return Ok(other?),
    }
    // Where v2 is alone its hierarchy is mounted there, and the kernel mounts no file
    // system on its own root.
    rustix::mount::mount("tmpfs", OWN_VIEW, "tmpfs", flags, Some(c"mode=755,size=4k"))?;
    let mounted = own();
    if mounted.is_err() {
        let _covered = rustix::mount::unmount(OWN_VIEW, UnmountFlags::DETACH);
    }
    Ok(mounted?)
}

fn take_apart() -> io::Result<()> {
    let root = Path::new(OWN_VIEW);
    let own = root.join(OWN);
    let named =
        |step: &str, error: io::Error| io::Error::new(error.kind(), format!("{step}: {error}"));
    match fs::create_dir(&own) {
        // Of a command before this one, or beside it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(|error| named("make a cgroup", error))?,
    }
    fs::write(own.join("cgroup.procs"), "0").map_err(|error| named("move into a cgroup", error))?;
    let delegated = delegate(&Hierarchies::own_view());
    if delegated.is_err() {
        // As it was.
        let _ = fs::write(root.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&own);
    }
    delegated
}
