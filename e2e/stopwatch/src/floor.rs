//! The hand-written floor: what a start of a sandbox costs when nothing is left over.
//!
//! One process with one thread waits for a byte, and then does inline, by system calls
//! alone, what isolates a function: control groups, six namespaces, a read-only root,
//! `/proc`, five devices, `/tmp`, `pivot_root`, another user, exec. No HTTP, no checks, no
//! configuration, no filter of system calls, nothing pooled.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{chdir, pivot_root};
use rustix::thread::UnshareFlags;

use crate::sys;

/// As of Lambda's.
const USER: u32 = 993;
const GROUP: u32 = 990;
const HIERARCHIES: [&str; 4] = ["cpu", "memory", "pids", "freezer"];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Waits for a byte, starts `/var/task/bootstrap` of the tree `root` in a sandbox, and
/// waits for its end.
pub(crate) fn run(root: &Path) -> io::Result<()> {
    io::stdin().read_exact(&mut [0])?;
    let group = format!("lambent-floor-{}", std::process::id());
    let groups: Vec<_> = HIERARCHIES
        .iter()
        .map(|hierarchy| Path::new("/sys/fs/cgroup").join(hierarchy))
        // Where the hierarchy is not v1's there is one for all of them.
        .filter(|hierarchy| hierarchy.join("cgroup.procs").exists())
        .map(|hierarchy| hierarchy.join(&group))
        .collect();
    for group in &groups {
        fs::create_dir(group)?;
    }
    if sys::fork()? {
        return isolate(root, &groups);
    }
    let ended = rustix::process::wait(rustix::process::WaitOptions::empty());
    for group in &groups {
        remove(group)?;
    }
    match ended? {
        Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
        other => Err(io::Error::other(format!("it ended as {other:?}"))),
    }
}

fn isolate(root: &Path, groups: &[PathBuf]) -> io::Result<()> {
    for group in groups {
        fs::write(group.join("cgroup.procs"), "0")?;
    }
    sys::unshare(
        UnshareFlags::NEWNS
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP,
    )?;
    if !sys::fork()? {
        let ended = rustix::process::wait(rustix::process::WaitOptions::empty())?;
        let good = ended.is_some_and(|(_, status)| status.exit_status() == Some(0));
        return if good {
            Ok(())
        } else {
            Err(io::Error::other(format!("the program ended as {ended:?}")))
        };
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let held = MountFlags::NOSUID | MountFlags::NODEV;
    mount_bind(root, root)?;
    chdir(root)?;
    new("proc", "proc", held | MountFlags::NOEXEC, c"")?;
    new("tmpfs", "dev", MountFlags::NOSUID, c"mode=755,size=64k")?;
    for device in DEVICES {
        let place = Path::new("dev").join(device);
        fs::write(&place, "")?;
        mount_bind(Path::new("/dev").join(device), place)?;
    }
    new("tmpfs", "tmp", held, c"mode=1777")?;
    rustix::mount::mount_remount(root, MountFlags::BIND | MountFlags::RDONLY | held, c"")?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    let program = Command::new("/var/task/bootstrap")
        .env_clear()
        .uid(USER)
        .gid(GROUP)
        .exec();
    Err(program)
}

/// Removes a group whose processes have ended: the kernel lets go of them a little
/// later than of their parent.
fn remove(group: &Path) -> io::Result<()> {
    for _ in 0..100 {
        if fs::remove_dir(group).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    fs::remove_dir(group)
}

fn new(kind: &str, place: &str, flags: MountFlags, options: &CStr) -> io::Result<()> {
    Ok(mount(kind, place, kind, flags, Some(options))?)
}
