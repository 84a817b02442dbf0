//! The end of an import: everything to its place, one flush, then the records.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::Digest;
use crate::error::{IoContext, Result, quoted_path};
use crate::rootfs::built::{BuiltForm, BuiltRoot};
use crate::source::Resolved;
use crate::store::index;
use crate::store::ingested::{Content, Ingested, Place};
use crate::store::layout::{Layout, private_file};
use crate::store::listed::listed;
use crate::store::record::{self, BlobRecord, LayerRecord, TarRecord};
use crate::store::staging::Staging;
use crate::unique::unique;

/// Most files that are flushed each by itself; beyond, the whole file system is.
const FLUSH_ONE_BY_ONE_MAX: usize = 64;

/// Where the EROFS image of the layers waits in the staging directory.
pub(super) const EROFS: &str = "erofs";

/// Moves what was verified into its place, and then records it.
pub(super) fn publish(
    layout: &Layout,
    staging: &Staging,
    resolved: &Resolved,
    ingested: &[Ingested],
    root: Option<&BuiltRoot>,
) -> Result<()> {
    for layer in ingested {
        place(layout, layer)?;
    }
    for (digest, bytes) in documents(resolved) {
        write(staging, &layout.blob(digest), bytes)?;
    }
    match root.map(|root| (&root.chain, &root.form)) {
        Some((chain, BuiltForm::Erofs { .. })) => {
            replace(&staging.path().join(EROFS), &layout.erofs(chain))?;
        }
        Some((
            chain,
            BuiltForm::Joint {
                directory: Some(directory),
                ..
            },
        )) => rename(directory, &layout.joint(chain))?,
        _ => {}
    }
    if has_directories(ingested, root) {
        // Far too many files to name.
        rustix::fs::syncfs(layout.root_fd()).doing(flushing)?;
    } else {
        flush(layout, &written(layout, resolved, ingested, root))?;
    }
    for layer in ingested {
        record(layout, staging, layer)?;
    }
    match root.map(|root| (&root.chain, &root.form)) {
        Some((chain, BuiltForm::Erofs { record })) => {
            record::write(staging, &layout.erofs_record(chain), record)?;
        }
        Some((chain, BuiltForm::Joint { record, .. })) => {
            record::write(staging, &layout.joint_record(chain), record)?;
        }
        None => {}
    }
    let mut files = records(layout, ingested, root);
    // By the records, for it names what they vouch for.
    let listed = listed(layout, resolved)?;
    if let Some(manifest) = &listed.manifest {
        let path = layout.blob(&listed.descriptor.digest);
        write(staging, &path, manifest)?;
        files.push(path);
    }
    // The image is listed only when all that it needs would survive a power cut.
    flush(layout, &files)?;
    index::add(
        layout,
        staging,
        resolved.descriptor.digest,
        &listed.descriptor,
        &resolved.config.platform(),
    )
}

/// The image's own documents.
fn documents(resolved: &Resolved) -> [(&Digest, &[u8]); 2] {
    let config = &resolved.manifest.config.digest;
    [
        (&resolved.descriptor.digest, &resolved.manifest_bytes),
        (config, &resolved.config_bytes),
    ]
}

/// True if there are trees of files among what an import brings.
fn has_directories(ingested: &[Ingested], root: Option<&BuiltRoot>) -> bool {
    let unpacked = ingested.iter().any(|layer| {
        let content = layer.content.as_ref();
        content.is_some_and(|content| matches!(content.place, Place::Directory(_)))
    });
    let joined = root.is_some_and(|root| match &root.form {
        BuiltForm::Joint { directory, .. } => directory.is_some(),
        BuiltForm::Erofs { .. } => false,
    });
    unpacked || joined
}

/// Moves a layer to its place.
fn place(layout: &Layout, layer: &Ingested) -> Result<()> {
    if let Some(blob) = &layer.blob {
        rename(blob, &layout.blob(&layer.digest))?;
    }
    let Some(Content { place, index }) = &layer.content else {
        return Ok(());
    };
    match place {
        Place::Directory(directory) => rename(directory, &layout.layer(&layer.diff_id))?,
        Place::Tar(stream) => rename(stream, &layout.stream(&layer.diff_id))?,
    }
    replace(&index.path, &layout.index_of(&layer.diff_id))
}

fn record(layout: &Layout, staging: &Staging, layer: &Ingested) -> Result<()> {
    let (size, warnings) = (layer.size, layer.warnings.clone());
    if let Some(Content { place, index }) = &layer.content {
        match place {
            Place::Tar(_) => {
                let record = TarRecord::new(size, index.digest, warnings);
                record::write(staging, &layout.tar_record(&layer.diff_id), &record)?;
            }
            Place::Directory(_) => {
                let record = LayerRecord::new(size, index.digest, warnings);
                record::write(staging, &layout.layer_record(&layer.diff_id), &record)?;
            }
        }
    }
    let record = BlobRecord::new(layer.diff_id);
    record::write(staging, &layout.blob_record(&layer.digest), &record)
}

/// The large files of an import that brings no directories.
fn written(
    layout: &Layout,
    resolved: &Resolved,
    ingested: &[Ingested],
    root: Option<&BuiltRoot>,
) -> Vec<PathBuf> {
    let mut paths: Vec<_> = documents(resolved)
        .map(|(digest, _)| layout.blob(digest))
        .into();
    for layer in ingested {
        if layer.blob.is_some() {
            paths.push(layout.blob(&layer.digest));
        }
        if layer.content.is_some() {
            paths.push(layout.stream(&layer.diff_id));
            paths.push(layout.index_of(&layer.diff_id));
        }
    }
    if let Some(BuiltRoot {
        chain,
        form: BuiltForm::Erofs { .. },
    }) = root
    {
        paths.push(layout.erofs(chain));
    }
    paths
}

fn records(layout: &Layout, ingested: &[Ingested], root: Option<&BuiltRoot>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for layer in ingested {
        paths.push(layout.blob_record(&layer.digest));
        match layer.content.as_ref().map(|content| &content.place) {
            Some(Place::Tar(_)) => paths.push(layout.tar_record(&layer.diff_id)),
            Some(Place::Directory(_)) => paths.push(layout.layer_record(&layer.diff_id)),
            None => {}
        }
    }
    paths.extend(root.map(|root| match root.form {
        BuiltForm::Erofs { .. } => layout.erofs_record(&root.chain),
        BuiltForm::Joint { .. } => layout.joint_record(&root.chain),
    }));
    paths
}

/// Brings files and the directories that they are in to disk. Not the whole file
/// system, which others may be writing gigabytes to.
fn flush(layout: &Layout, files: &[PathBuf]) -> Result<()> {
    if files.len() > FLUSH_ONE_BY_ONE_MAX {
        return rustix::fs::syncfs(layout.root_fd()).doing(flushing);
    }
    let mut directories: Vec<_> = files.iter().filter_map(|path| path.parent()).collect();
    directories.sort_unstable();
    directories.dedup();
    for path in files.iter().map(PathBuf::as_path).chain(directories) {
        let file = fs::File::open(path).doing(flushing)?;
        file.sync_all().doing(flushing)?;
    }
    Ok(())
}

fn flushing() -> String {
    "bringing the image to disk".to_owned()
}

/// Writes a file of the store that must appear whole.
fn write(staging: &Staging, path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("writing {}", quoted_path(path));
    let temporary = staging.path().join(format!("file-{}", unique()));
    let mut file = private_file(&temporary).doing(failed)?;
    file.write_all(bytes).doing(failed)?;
    fs::rename(&temporary, path).doing(failed)
}

/// Moves a whole file into its place, over an earlier one.
fn replace(staged: &Path, path: &Path) -> Result<()> {
    fs::rename(staged, path).doing(|| format!("writing {}", quoted_path(path)))
}

/// Renames; a directory that is there already has no record, and is swapped out
/// into the staging directory, where it will be removed.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("moving a layer to {}", quoted_path(to));
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).doing(failed),
        // A file system without these flags, such as NFS.
        Err(Errno::INVAL) => {
            if to.is_dir() {
                let aside = from.with_extension("replaced");
                fs::rename(to, aside).doing(failed)?;
            }
            fs::rename(from, to).doing(failed)
        }
        other => other.doing(failed),
    }
}
