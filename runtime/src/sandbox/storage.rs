//! Ephemeral storage: a file system of exactly the configured size for `/tmp`.
//!
//! A tmpfs is charged page by page to whoever writes, so a function with
//! 128 MB would die at 126 MB of files. Instead each environment gets an ext4
//! on a loop device over an unlinked sparse file: dirty pages of a block device
//! are reclaimable cache, and the function is killed at exactly its own memory.
//! `mkfs` runs once per size; an environment copies the few written blocks.
//!
//! Everything is held by descriptors. The file has no name; the loop device
//! detaches itself with its last user; so there is nothing to clean up after
//! `kill -9`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, SeekFrom};
use rustix::mount::MountFlags;

use crate::sys;

/// Bytes per block of the file systems that we make.
const BLOCK: u64 = 4096;

/// Blocks on top of the configured size for what a full file system needs to
/// describe its files (extent trees, a longer root directory), so that a file of
/// exactly the configured size fits.
const SLACK_BLOCKS: u64 = 8;

/// The kernel holds back a fiftieth of an ext4, at most this many blocks, for
/// metadata of delayed allocations (`ext4_calculate_resv_clusters`), on top of
/// what is reserved for root.
const MAX_KERNEL_RESERVED_BLOCKS: u64 = 4096;

/// One inode per this many bytes of `/tmp`, as `mkfs.ext4` does by default:
/// 32,768 files in 512 MB.
const BYTES_PER_INODE: u64 = 16_384;

/// An attached loop device; it detaches when this and all mounts are gone.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    path: PathBuf,
    _device: OwnedFd,
}

impl LoopDevice {
    /// A fresh file system of `bytes` usable bytes, backed by an unlinked file
    /// in `directory`, cloned from the template there. `None` where there are no
    /// loop devices to be had.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn create(directory: &Path, bytes: u64) -> io::Result<Option<Self>> {
        let backing = unnamed_file(directory)?;
        clone_sparse(&File::open(template_path(directory, bytes))?, &backing)?;
        match Self::attach(&backing) {
            Ok(device) => Ok(Some(device)),
            Err(LoopError::NotOffered(_)) => Ok(None),
            Err(LoopError::Refused(error)) => Err(error),
        }
    }

    /// Attaches a file to a free device.
    pub(crate) fn attach(backing: &File) -> Result<Self, LoopError> {
        let open = |path: &Path| {
            rustix::fs::openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(
                |error| {
                    let text = format!("open {}: {error}", path.display());
                    LoopError::NotOffered(io::Error::new(io::Error::from(error).kind(), text))
                },
            )
        };
        let control = open(Path::new("/dev/loop-control"))?;
        // Another process may take the free device between the two calls.
        for _ in 0..100 {
            let number = sys::loop_get_free(control.as_fd()).map_err(LoopError::NotOffered)?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path)?;
            let mut result = sys::loop_configure(device.as_fd(), backing.as_fd(), true);
            if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) {
                // The file system below cannot do direct I/O.
                result = sys::loop_configure(device.as_fd(), backing.as_fd(), false);
            }
            match result {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        _device: device,
                    });
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(LoopError::Refused(error)),
            }
        }
        Err(LoopError::Refused(io::Error::other(
            "no loop device stayed free for long enough",
        )))
    }

    /// Mounts the file system. Mounting it twice gives two views of one.
    pub(crate) fn mount(&self, target: &Path) -> io::Result<()> {
        rustix::mount::mount(
            &self.path,
            target,
            "ext4",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME,
            // No journal is in the template. The data needs no crash safety:
            // it goes away with its environment.
            Some(c"discard,nobarrier,noinit_itable"),
        )?;
        rustix::fs::chmod(target, Mode::from_raw_mode(0o1777))?;
        match rustix::fs::unlinkat(
            CWD,
            target.join("lost+found"),
            rustix::fs::AtFlags::REMOVEDIR,
        ) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why a file could not be attached.
#[derive(Debug)]
pub(crate) enum LoopError {
    /// There are no loop devices to be had.
    NotOffered(io::Error),
    /// There are, but none takes the file.
    Refused(io::Error),
}

/// A plain tmpfs in the place of the file system above, for hosts that have no
/// loop devices.
pub(crate) fn mount_tmpfs(target: &Path, bytes: u64) -> io::Result<()> {
    let options = format!("mode=1777,size={bytes},nr_inodes={}", inodes(bytes));
    rustix::mount::mount(
        "tmpfs",
        target,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(
            std::ffi::CString::new(options)
                .map_err(io::Error::other)?
                .as_c_str(),
        ),
    )?;
    Ok(())
}

/// Makes sure that there is a template for `bytes`. Called by the service,
/// before it asks for environments of this size.
///
/// # Errors
/// `mkfs.ext4` or `tune2fs` is missing (package e2fsprogs) or failed.
pub(crate) fn prepare_template(directory: &Path, bytes: u64) -> io::Result<()> {
    let path = template_path(directory, bytes);
    if is_template(&path, bytes) {
        return Ok(());
    }
    remove_stale_drafts(directory);
    let draft = directory.join(format!("{DRAFT}{}", uuid::Uuid::new_v4().simple()));
    let result = make_template(&draft, bytes).and_then(|()| std::fs::rename(&draft, &path));
    if result.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    result
}

/// The sizes in bytes for which there is a template.
pub(crate) fn ready_sizes(directory: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut sizes: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let size = name
                .to_str()?
                .strip_prefix(TEMPLATE)?
                .strip_suffix(".ext4")?;
            size.parse().ok()
        })
        .filter(|bytes| is_template(&template_path(directory, *bytes), *bytes))
        .collect();
    sizes.sort_unstable();
    sizes
}

/// Names of templates that are being made begin with this.
const DRAFT: &str = ".draft-";

/// Making a template takes well under a second; a draft of this age has no maker.
const STALE: Duration = Duration::from_secs(300);

/// Removes what makers that were killed left behind.
fn remove_stale_drafts(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if draft && modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a file is a whole template: a power cut may leave one that is not.
fn is_template(path: &Path, bytes: u64) -> bool {
    let check = || -> io::Result<bool> {
        let image = File::open(path)?;
        let mut magic = [0; 2];
        // s_magic of an ext4 superblock.
        image.read_exact_at(&mut magic, 1024 + 0x38)?;
        Ok(magic == [0x53, 0xEF]
            && image.metadata()?.len() == image_size(bytes)
            && free_blocks(&image)? > bytes / BLOCK)
    };
    check().unwrap_or(false)
}

/// The size of the image of a file system of `bytes`, with room for its metadata:
/// inode tables take 256 bytes an inode; bitmaps and descriptors much less.
fn image_size(bytes: u64) -> u64 {
    (bytes + inodes(bytes) * 256 + bytes / 40 + (8 << 20)).next_multiple_of(1 << 20)
}

fn inodes(bytes: u64) -> u64 {
    bytes / BYTES_PER_INODE
}

fn template_path(directory: &Path, bytes: u64) -> PathBuf {
    directory.join(format!("{TEMPLATE}{bytes}.ext4"))
}

/// Names of templates begin with this; the number is the version of how they are
/// made.
const TEMPLATE: &str = "template-2-";

/// A file system with room for metadata on top of `bytes`, in which all blocks
/// beyond `bytes` are reserved for root: a function sees exactly what it asked
/// for, and gets ENOSPC beyond it.
fn make_template(path: &Path, bytes: u64) -> io::Result<()> {
    let size = image_size(bytes);
    let kernel_reserved = (size / BLOCK / 50).min(MAX_KERNEL_RESERVED_BLOCKS);
    let offered = bytes / BLOCK + SLACK_BLOCKS + kernel_reserved;
    File::create_new(path)?.set_len(size)?;
    make_file_system(path, inodes(bytes))?;
    let free = free_blocks(&File::open(path)?)?;
    let reserved = free.checked_sub(offered).ok_or_else(|| {
        io::Error::other(format!(
            "mkfs.ext4 left {free} blocks, fewer than {bytes} bytes"
        ))
    })?;
    reserve_for_root(path, reserved)?;
    // Before it gets its name, once in the life of a template.
    File::open(path)?.sync_all()
}

/// Makes a file system in a file of the size that it is to have.
pub(crate) fn make_file_system(path: &Path, inodes: u64) -> io::Result<()> {
    run(Command::new("mkfs.ext4")
        .args(["-q", "-F", "-b", "4096", "-m", "0", "-N"])
        .arg(inodes.to_string())
        .args(["-O", "^has_journal,^resize_inode", "-E"])
        .arg("lazy_itable_init=1,nodiscard")
        .arg(path))
}

/// Keeps blocks of a file system from everybody but root.
pub(crate) fn reserve_for_root(path: &Path, blocks: u64) -> io::Result<()> {
    run(Command::new("tune2fs")
        .arg("-r")
        .arg(blocks.to_string())
        .arg(path))
}

fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    // Where these programs are is not in every user's path.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = command
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "{program} (package e2fsprogs; searched in PATH, /usr/sbin and /sbin): {error}"
                ),
            )
        })?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }
}

/// The count of free blocks in an ext4 superblock.
fn free_blocks(image: &File) -> io::Result<u64> {
    // Superblock at 1024; s_free_blocks_count at 0x0C and its high half at 0x158.
    let word = |offset: u64| -> io::Result<u64> {
        let mut bytes = [0; 4];
        image.read_exact_at(&mut bytes, 1024 + offset)?;
        Ok(u32::from_le_bytes(bytes).into())
    };
    Ok(word(0x0C)? | word(0x158)? << 32)
}

/// A file without a name, or with one that is gone at once.
pub(crate) fn unnamed_file(directory: &Path) -> io::Result<File> {
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(directory);
    match unnamed {
        // Some file systems (overlayfs before 6.x) cannot.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            let path = directory.join(format!(".backing-{}", uuid::Uuid::new_v4().simple()));
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            std::fs::remove_file(path)?;
            Ok(file)
        }
        other => other,
    }
}

/// Copies the data of a sparse file and its size; holes stay holes.
fn clone_sparse(from: &File, to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut end = 0;
    loop {
        let start = match rustix::fs::seek(from, SeekFrom::Data(end)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        end = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        let mut offset = start;
        while offset < end {
            let length = usize::try_from(end - offset)
                .unwrap_or(buffer.len())
                .min(buffer.len());
            from.read_exact_at(&mut buffer[..length], offset)?;
            to.write_all_at(&buffer[..length], offset)?;
            offset += length as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_clone_is_equal_and_sparse() {
        use std::os::unix::fs::MetadataExt;
        let from = tempfile::tempfile().unwrap();
        from.set_len(64 << 20).unwrap();
        for offset in [0, 1_000_000, 5 << 20, (64 << 20) - 3] {
            from.write_all_at(b"abc", offset).unwrap();
        }
        let to = tempfile::tempfile().unwrap();
        clone_sparse(&from, &to).unwrap();
        let metadata = to.metadata().unwrap();
        assert_eq!(metadata.len(), 64 << 20);
        assert!(
            metadata.blocks() * 512 < 1 << 20,
            "{} blocks",
            metadata.blocks()
        );
        for offset in [0, 1_000_000, 5 << 20, (64 << 20) - 3] {
            let mut bytes = [0; 3];
            to.read_exact_at(&mut bytes, offset).unwrap();
            assert_eq!(&bytes, b"abc");
        }
    }

    #[test]
    fn a_template_offers_exactly_the_configured_bytes() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [512 << 20, 10_240 << 20] {
            prepare_template(directory.path(), bytes).unwrap();
            let image = File::open(template_path(directory.path(), bytes)).unwrap();
            let mut reserved = [0; 4];
            image.read_exact_at(&mut reserved, 1024 + 0x08).unwrap();
            let free = free_blocks(&image).unwrap();
            let blocks = image.metadata().unwrap().len() / BLOCK;
            let kernel_reserved = (blocks / 50).min(MAX_KERNEL_RESERVED_BLOCKS);
            assert_eq!(
                free - u64::from(u32::from_le_bytes(reserved)),
                bytes / BLOCK + SLACK_BLOCKS + kernel_reserved
            );
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
