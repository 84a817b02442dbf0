//! OCI runtime bundles: an image as a directory with `rootfs/` and
//! `config.json`, which runc, crun and youki run as it is.
//!
//! Unlike the store's own forms a bundle is its owner's: writable, without the
//! skeleton, with everything that the image has.

mod config;
mod streams;
mod user;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use self::streams::Streams;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::import::{self, Origin};
use crate::store::chain::Chain;
use crate::store::layout::{Layout, open_dir, private_file};
use crate::store::lock::{Lock, Mode as LockMode};
use crate::store::query::read_image;
use crate::store::staging::Staging;
use crate::unpack::tree::{self, LeftOut};
use crate::{ContentStore, Form, Image, Progress};

/// Most bytes of the image's `passwd` and `group` that are read.
const USERS_MAX: u64 = 1024 * 1024;

impl ContentStore {
    /// Writes an image as an OCI runtime bundle into the new or empty directory
    /// `target`, and returns what was left out of it, one line each.
    ///
    /// The bundle appears under its name when it is complete. One that an ordinary
    /// user makes has no device nodes, and no owner but that user.
    ///
    /// # Errors
    ///
    /// `Invalid` if `target` exists and is not empty, or if the image's user is not
    /// in its `passwd`; `NotFound` if the store no longer has the image;
    /// `Interrupted`.
    pub fn unpack(
        &self,
        image: &Image,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<String>> {
        require_new_or_empty(target)?;
        let store = Lock::acquire_for(&self.layout.lock("store"), LockMode::Shared, progress)?;
        let lease = format!("image-{}", image.manifest_digest.hex());
        let _lease = Lock::acquire(&self.layout.lock(&lease), LockMode::Shared)?;
        drop(store);
        let staging = Staging::beside(target)?;
        let left_out = match self.form() {
            Form::Erofs => write(&self.layout, image, staging.path(), progress)?,
            Form::Directory => {
                // Directories are made for overlayfs; a bundle is made from streams.
                let scratch = Staging::new(&self.layout)?;
                let layout = self.restream(image, &scratch.path().join("store"), progress)?;
                write(&layout, image, staging.path(), progress)?
            }
        };
        staging.rename_to(target)?;
        let mut warnings = image.warnings.clone();
        warnings.extend(shortcomings(target, left_out));
        Ok(warnings)
    }

    /// The same image in a store of streams.
    fn restream(&self, image: &Image, root: &Path, progress: &dyn Progress) -> Result<Layout> {
        let layout = Layout::open(root)?;
        let resolved = read_image(&self.layout, &image.manifest_digest)?;
        let own = Origin::Store(&self.layout);
        import::bring_in(&layout, Form::Erofs, own, &resolved, progress)?;
        Ok(layout)
    }
}

/// One line for each kind of thing that the bundle lacks.
fn shortcomings(target: &Path, left_out: LeftOut) -> impl Iterator<Item = String> {
    let target = quoted_path(target);
    let LeftOut {
        xattrs,
        owners,
        devices,
    } = left_out;
    [
        (xattrs, "did not take", "extended attributes"),
        (
            owners,
            "has your own files in place of",
            "files of other users, which only root can make",
        ),
        (
            devices,
            "is without",
            "device nodes, which only root can make",
        ),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(move |(count, lacks, what)| format!("{target} {lacks} {count} {what}"))
}

/// Writes the bundle.
fn write(
    layout: &Layout,
    image: &Image,
    bundle: &Path,
    progress: &dyn Progress,
) -> Result<LeftOut> {
    let failed = || format!("making a bundle in {}", quoted_path(bundle));
    let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
    let tree = Chain::new(&diff_ids).tree(layout, &[])?;
    let mut streams = Vec::with_capacity(diff_ids.len());
    for diff_id in &diff_ids {
        let stream = File::open(layout.stream(diff_id))
            .doing(|| format!("opening layer {diff_id} of the store"))?;
        streams.push(stream);
    }
    let rootfs = bundle.join("rootfs");
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&rootfs)
        .doing(failed)?;
    let root = open_dir(&rootfs).doing(failed)?;
    let contents = Streams {
        tree: &tree,
        streams: &streams,
    };
    let left_out = tree::write(&tree, root.as_fd(), &contents, &progress.interrupt())?;
    let passwd = read_inside(&root, "etc/passwd")?;
    let group = read_inside(&root, "etc/group")?;
    let name = image.config.user.as_deref().unwrap_or_default();
    let user = user::resolve(name, &passwd, &group)?;
    let file = private_file(&bundle.join("config.json")).doing(failed)?;
    serde_json::to_writer_pretty(file, &config::build(&image.config, &user)?)
        .map_err(std::io::Error::from)
        .doing(failed)?;
    Ok(left_out)
}

/// The text of a small regular file of the image; empty if there is none, or none
/// that this user may read. Links are followed inside the image; nothing but a regular file is ever opened.
fn read_inside(root: impl AsFd, name: &str) -> Result<String> {
    let failed = || format!("reading {name} of the image");
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = match openat2(&root, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(String::new()),
        other => other.doing(failed)?,
    };
    let stat = fstat(&found).doing(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(String::new());
    }
    // Still the same file: nobody else reaches a bundle before it is complete.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match openat2(&root, name, flags, Mode::empty(), resolve) {
        Err(Errno::ACCESS) => return Ok(String::new()),
        other => other.doing(failed)?,
    };
    let mut bytes = Vec::new();
    File::from(file)
        .take(USERS_MAX + 1)
        .read_to_end(&mut bytes)
        .doing(failed)?;
    if bytes.len() as u64 > USERS_MAX {
        return Err(Error::limit(format!(
            "{name} of the image is larger than 1 MiB"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn require_new_or_empty(target: &Path) -> Result<()> {
    let failed = || format!("looking at {}", quoted_path(target));
    match fs::read_dir(target).map(Iterator::count) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(0) => Ok(()),
        Ok(_) => Err(Error::invalid(format!(
            "{} is not empty; name a new or an empty directory",
            quoted_path(target)
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(Error::invalid(
            format!("{} is not a directory", quoted_path(target)),
        )),
        Err(error) => Err(error).doing(failed),
    }
}
