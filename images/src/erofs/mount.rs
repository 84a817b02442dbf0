//! Mounting an EROFS image and its devices, all of them plain files.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::image::write;
use crate::detached::explained;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::tree::Tree;

/// Mounts an image read-only, without devices and without setuid, at no path:
/// the mount lives as long as the descriptor, or until it is attached.
///
/// # Errors
///
/// `Unsupported` when this kernel lacks EROFS, `Io` when it refuses the mount.
pub(crate) fn detached(image: &Path, devices: &[impl AsRef<Path>]) -> Result<OwnedFd> {
    let image = open(image)?;
    let devices = devices
        .iter()
        .map(|path| open(path.as_ref()))
        .collect::<Result<Vec<_>>>()?;
    mount_files(&image, &devices)
}

fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .doing(|| format!("opening {}", quoted_path(path)))
}

/// The kernel opens a path, and the shortest safe one is that of a descriptor;
/// it is also what the function sees in `/proc/self/mountinfo`.
fn name(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn mount_files(image: &File, devices: &[File]) -> Result<OwnedFd> {
    let failed = || "mounting an EROFS image".to_owned();
    let context = match fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NOSYS | Errno::NODEV) => {
            return Err(Error::unsupported(
                "this kernel has no EROFS (CONFIG_EROFS_FS)",
            ));
        }
        other => other.doing(failed)?,
    };
    let context = context.as_fd();
    let why = |error| explained(context, error);
    fsconfig_set_string(context, "source", name(image)).doing(failed)?;
    for device in devices {
        fsconfig_set_string(context, "device", name(device))
            .map_err(why)
            .doing(failed)?;
    }
    fsconfig_set_flag(context, "ro")
        .map_err(why)
        .doing(failed)?;
    fsconfig_create(context).map_err(why).doing(failed)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).doing(failed)
}

/// True if this process may mount images from files of the directory `fd`.
pub(crate) fn works_in(directory: impl AsFd) -> bool {
    probe(directory)
        .inspect_err(|error| tracing::debug!(%error, "EROFS from files is not available"))
        .is_ok()
}

/// Whether this process may mount images from files of the directory `fd`: found
/// out by mounting an empty one, at no path.
///
/// # Errors
///
/// Why not: the file system below cannot make or lend such a file, or the kernel
/// refuses the mount.
pub fn probe(directory: impl AsFd) -> Result<()> {
    let failed = || "probing for EROFS".to_owned();
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, ".", flags, Mode::RUSR | Mode::WUSR).doing(failed)?;
    let file = File::from(file);
    write(&Tree::new(), &[], &[], &file)?;
    mount_files(&file, &[]).map(drop)
}
