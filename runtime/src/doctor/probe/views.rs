//! Namespaces, and what is mounted in them before a function starts.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use lambent_images::RootMount;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use super::super::facts::{Facts, Mounts, Namespace, Refusal, Tried};
use super::Request;
use super::child::in_child;
use super::host::existing_ancestor;
use super::storage::open_directory;
use crate::service_error::with_sources;
use crate::sys;

/// The namespaces of a function.
const KINDS: [(&str, UnshareFlags); 6] = [
    ("mount", UnshareFlags::NEWNS),
    ("network", UnshareFlags::NEWNET),
    ("pid", UnshareFlags::NEWPID),
    ("ipc", UnshareFlags::NEWIPC),
    ("uts", UnshareFlags::NEWUTS),
    ("cgroup", UnshareFlags::NEWCGROUP),
];

pub(super) fn probe(request: &Request, facts: &mut Facts) {
    let directory = existing_ancestor(&request.store);
    let probed = in_child(|| {
        let namespaces = make_namespaces();
        let mounts = if namespaces.iter().all(|namespace| namespace.tried.works()) {
            // The first child in the new pid namespace, where a new /proc is right.
            in_child(|| mount_everything(&directory)).unwrap_or_else(|error| all_refused(&error))
        } else {
            Mounts::default()
        };
        (namespaces, mounts)
    });
    match probed {
        Ok((namespaces, mounts)) => {
            facts.namespaces = namespaces;
            facts.mounts = mounts;
        }
        Err(error) => facts.mounts = all_refused(&error),
    }
    facts.mounts.erofs = erofs(&directory);
}

fn make_namespaces() -> Vec<Namespace> {
    KINDS
        .into_iter()
        .map(|(name, flag)| Namespace {
            name: name.to_owned(),
            tried: Tried::of(&format!("make a {name} namespace"), sys::unshare(flag)),
        })
        .collect()
}

/// Mounts over `directory` what the worker and libcontainer mount. All of it ends
/// with the mount namespace.
fn mount_everything(directory: &Path) -> Mounts {
    let mut mounts = Mounts::default();
    let below = open_directory(directory);
    let work = || -> io::Result<()> {
        rustix::mount::mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        mount_with("tmpfs", directory, MountFlags::empty())?;
        for name in ["proc", "sys", "layer", "root"] {
            std::fs::create_dir(directory.join(name))?;
        }
        Ok(())
    };
    mounts.tmpfs = Tried::of("mount a tmpfs", work());
    if !mounts.tmpfs.works() {
        return mounts;
    }
    // In a user namespace only as much as the one that is there allows.
    let proc = mount_with("proc", &directory.join("proc"), MountFlags::NOEXEC);
    mounts.proc = Tried::of("mount proc", proc);
    let read_only = MountFlags::NOEXEC | MountFlags::RDONLY;
    let sysfs = mount_with("sysfs", &directory.join("sys"), read_only);
    mounts.sysfs = Tried::of("mount sysfs", sysfs);
    let overlay = || -> io::Result<()> {
        let below = below?;
        let lower_dirs = vec![
            directory.join("layer"),
            format!("/proc/self/fd/{}", below.as_raw_fd()).into(),
        ];
        RootMount::Overlay { lower_dirs }
            .mount(&directory.join("root"))
            .map_err(|error| io::Error::other(with_sources(&error)))
    };
    mounts.overlay = Tried::of("mount an overlay", overlay());
    mounts
}

fn mount_with(kind: &str, target: &Path, more: MountFlags) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | more;
    Ok(rustix::mount::mount(kind, target, kind, flags, None)?)
}

fn erofs(directory: &Path) -> Tried {
    let probe = open_directory(directory).and_then(|directory| {
        lambent_images::probe_erofs(directory)
            .map_err(|error| io::Error::other(with_sources(&error)))
    });
    let step = format!("mount EROFS from a file in {}", directory.display());
    Tried::of(&step, probe)
}

fn all_refused(error: &io::Error) -> Mounts {
    let refused = Tried::Fails(Refusal::new("probe in new namespaces", error));
    Mounts {
        tmpfs: refused.clone(),
        proc: refused.clone(),
        sysfs: refused.clone(),
        overlay: refused,
        erofs: Tried::Untried,
    }
}
