//! The parts of `/tmp`: a file in the store, the programs that format it, a loop
//! device, and ext4.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dev, FileType, MemfdFlags, Mode};
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use super::super::facts::{Facts, Refusal, Tried};
use super::Request;
use super::child::in_child;
use super::host::existing_ancestor;
use super::process::or_refused;
use crate::sandbox::storage::{self, LoopDevice, LoopError};
use crate::sys;

/// Bytes of the file system that is made; ext4 takes no less than a few.
const BYTES: u64 = 4 << 20;
const INODES: u64 = 64;

/// Has the programs format a file in memory.
pub(super) fn probe_tools() -> Tried {
    let format_memory = || -> io::Result<()> {
        let file = rustix::fs::memfd_create("lambent-probe", MemfdFlags::CLOEXEC)?;
        let file = File::from(file);
        file.set_len(BYTES)?;
        format(&file)
    };
    Tried::of("make an ext4", format_memory())
}

pub(super) fn probe(request: &Request, facts: &mut Facts) {
    let directory = existing_ancestor(&request.store);
    let file = storage::unnamed_file(&directory).and_then(|file| {
        file.set_len(BYTES)?;
        Ok(file)
    });
    let step = format!("make a file in {}", directory.display());
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            facts.store.writable = Tried::Fails(Refusal::new(step, &error));
            facts.storage.mkfs = probe_tools();
            return;
        }
    };
    facts.store.writable = Tried::Works;
    facts.store.whiteout = whiteout(&directory);
    facts.storage.mkfs = Tried::of("make an ext4", format(&file));
    match LoopDevice::attach(&file) {
        Ok(device) => {
            facts.storage.loop_device = Tried::Works;
            if facts.storage.mkfs.works() {
                facts.storage.ext4 = mount(&device, &directory);
            }
        }
        Err(error) => {
            facts.storage.loop_broken = matches!(error, LoopError::Refused(_));
            let (LoopError::NotOffered(error) | LoopError::Refused(error)) = error;
            facts.storage.loop_device = Tried::Fails(Refusal::new("attach a loop device", &error));
        }
    }
}

/// The programs get a path: that of the descriptor.
fn format(file: &File) -> io::Result<()> {
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    storage::make_file_system(Path::new(&path), INODES)?;
    storage::reserve_for_root(Path::new(&path), 1)
}

/// Mounts it over a directory, in a mount namespace that nobody else sees.
fn mount(device: &LoopDevice, target: &Path) -> Tried {
    let tried = in_child(|| {
        let mount = || -> io::Result<()> {
            private_mounts()?;
            device.mount(target)
        };
        Tried::of("mount ext4 from a loop device", mount())
    });
    or_refused("mount ext4 from a loop device", tried)
}

/// A mount namespace from which nothing reaches others.
pub(super) fn private_mounts() -> io::Result<()> {
    sys::unshare(UnshareFlags::NEWNS)?;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", flags)?)
}

/// The device node by which overlayfs knows that a file is deleted. overlayfs
/// itself refuses to make one.
fn whiteout(directory: &Path) -> Tried {
    let path: PathBuf = directory.join(format!(".lambent-probe-{}", uuid::Uuid::new_v4().simple()));
    let made = rustix::fs::mknodat(
        CWD,
        &path,
        FileType::CharacterDevice,
        Mode::RUSR,
        Dev::default(),
    );
    if made.is_ok() {
        let _ = std::fs::remove_file(&path);
    }
    Tried::of("make a whiteout", made.map_err(io::Error::from))
}

/// Opens a directory to have it still when something is mounted over it.
pub(super) fn open_directory(directory: &Path) -> io::Result<OwnedFd> {
    File::open(directory).map(OwnedFd::from)
}
