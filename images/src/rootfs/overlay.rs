//! Mounting a stack of layers as one read-only tree.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount as classic_mount,
};

use crate::detached::{attach, attach_over, explained};
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::owners::owners;

/// The source shown in `/proc/self/mountinfo`.
const SOURCE: &str = "lambent";
/// Most option bytes of the classic system call: a page, with its final NUL.
const OPTIONS_MAX: usize = 4095;
/// Overlay features that would follow attributes inside of the layers.
const FIXED_OPTIONS: [(&str, &str); 2] = [("redirect_dir", "nofollow"), ("metacopy", "off")];
/// The attributes that overlayfs goes by in a user namespace (Linux 5.11).
const UNPRIVILEGED: &str = "userxattr";
/// An option that overlayfs does not have.
const UNKNOWN_OPTION: &str = "lambent_asks";

/// Mounts `lower_dirs`, topmost first, at the directory `target`: read-only,
/// without devices and without setuid.
///
/// # Errors
///
/// `Unsupported` when this kernel cannot stack that many directories, `Io` when
/// it refuses the mount.
pub(super) fn mount(lower_dirs: &[impl AsRef<Path>], target: &Path) -> Result<()> {
    if lower_dirs.len() < 2 {
        return Err(Error::invalid("overlayfs needs two directories to stack"));
    }
    match detached(lower_dirs)? {
        Some(tree) => attach(tree, target),
        None => mount_by_options(lower_dirs, target),
    }
}

/// The same over an open directory, whatever its path leads to by now.
pub(crate) fn mount_over(lower_dirs: &[impl AsRef<Path>], directory: &OwnedFd) -> Result<()> {
    if let Some(tree) = detached(lower_dirs)? {
        return attach_over(tree, directory).doing(|| "mounting an overlay".to_owned());
    }
    let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
    mount_by_options(lower_dirs, Path::new(&target))
}

/// An overlay that has no path yet; `None` where the kernel lacks the calls, or
/// overlayfs's `lowerdir+`.
fn detached(lower_dirs: &[impl AsRef<Path>]) -> Result<Option<OwnedFd>> {
    let failed = || "mounting an overlay".to_owned();
    let context = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NOSYS) => return Ok(None),
        Err(Errno::NODEV) => {
            return Err(Error::unsupported(
                "this kernel has no overlayfs (CONFIG_OVERLAY_FS)",
            ));
        }
        other => other.doing(failed)?,
    };
    // Before 6.5 overlayfs has only the classic options: it takes all that it is
    // told without a look, fails when it mounts, and leaves a line in the system's
    // log for each. So it is asked for what no version has.
    if fsconfig_set_flag(&context, UNKNOWN_OPTION).is_ok() {
        return Ok(None);
    }
    fsconfig_set_string(&context, "source", SOURCE).doing(failed)?;
    for (index, directory) in lower_dirs.iter().enumerate() {
        let directory = directory.as_ref();
        match fsconfig_set_string(&context, "lowerdir+", directory) {
            Err(Errno::INVAL) if index == 0 => return Ok(None),
            other => other
                .map_err(|error| explained(&context, error))
                .doing(|| format!("adding {} to an overlay", quoted_path(directory)))?,
        }
    }
    for (key, value) in FIXED_OPTIONS {
        fsconfig_set_string(&context, key, value)
            .map_err(|error| explained(&context, error))
            .doing(failed)?;
    }
    if !owners().are_all() {
        fsconfig_set_flag(&context, UNPRIVILEGED)
            .map_err(|error| explained(&context, error))
            .doing(failed)?;
    }
    fsconfig_create(&context)
        .map_err(|error| explained(&context, error))
        .doing(failed)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .doing(failed)
        .map(Some)
}

fn mount_by_options(lower_dirs: &[impl AsRef<Path>], target: &Path) -> Result<()> {
    let mut options = b"lowerdir=".to_vec();
    for (index, directory) in lower_dirs.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        for &byte in directory.as_ref().as_os_str().as_bytes() {
            if matches!(byte, b':' | b',' | b'\\') {
                options.push(b'\\');
            }
            options.push(byte);
        }
    }
    for (key, value) in FIXED_OPTIONS {
        options.extend_from_slice(format!(",{key}={value}").as_bytes());
    }
    if !owners().are_all() {
        options.extend_from_slice(format!(",{UNPRIVILEGED}").as_bytes());
    }
    if options.len() > OPTIONS_MAX {
        return Err(Error::unsupported(format!(
            "the image has {} layers, whose paths are too long for this kernel's mount call; \
             use Linux 6.8 or later, a shorter store path, or squash the image",
            lower_dirs.len()
        )));
    }
    let failed = || format!("mounting an overlay at {}", quoted_path(target));
    let options = CString::new(options)
        .map_err(std::io::Error::from)
        .doing(failed)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    classic_mount(SOURCE, target, "overlay", flags, options.as_c_str()).doing(failed)
}
