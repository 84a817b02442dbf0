//! The end of an import: everything to its place, one flush, then the records.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::layer::{Content, Ingested};
use crate::Digest;
use crate::error::{IoContext, Result, quoted_path};
use crate::rootfs::chain::BuiltRoot;
use crate::source::Resolved;
use crate::store::index;
use crate::store::layout::{Layout, private_file};
use crate::store::record::{self, BlobRecord, LayerRecord, TarRecord};
use crate::store::staging::Staging;
use crate::unique::unique;

/// Most files that are flushed each by itself; beyond, the whole file system is.
const FLUSH_ONE_BY_ONE_MAX: usize = 64;

/// Moves what was verified into its place, and then records it.
pub(super) fn publish(
    layout: &Layout,
    staging: &Staging,
    resolved: &Resolved,
    ingested: &[Ingested],
    root: Option<&BuiltRoot>,
) -> Result<()> {
    let mut indexes = Vec::with_capacity(ingested.len());
    for layer in ingested {
        indexes.push(place(layout, staging, layer)?);
    }
    for (digest, bytes) in [
        (&resolved.descriptor.digest, &resolved.manifest_bytes),
        (&resolved.manifest.config.digest, &resolved.config_bytes),
    ] {
        write(staging, &layout.blob(digest), bytes)?;
    }
    if let Some(root) = root {
        write(staging, &layout.erofs(&root.chain), &root.image)?;
    }
    let unpacked = ingested
        .iter()
        .any(|layer| matches!(layer.content, Some(Content::Directory(_))));
    if unpacked {
        // Far too many files to name.
        rustix::fs::syncfs(layout.root_fd()).doing(flushing)?;
    } else {
        flush(layout, &written(layout, resolved, ingested, root))?;
    }
    for (layer, index) in ingested.iter().zip(indexes) {
        record(layout, staging, layer, index)?;
    }
    if let Some(root) = root {
        record::write(staging, &layout.erofs_record(&root.chain), &root.record)?;
    }
    // The image is listed only when all that it needs would survive a power cut.
    flush(layout, &records(layout, ingested, root))?;
    index::add(
        layout,
        staging,
        &resolved.descriptor,
        &resolved.config.platform(),
    )
}

/// Moves a layer to its place; returns the digest of its index, if it has one.
fn place(layout: &Layout, staging: &Staging, layer: &Ingested) -> Result<Option<Digest>> {
    rename(&layer.blob, &layout.blob(&layer.digest))?;
    match &layer.content {
        None => Ok(None),
        Some(Content::Directory(directory)) => {
            rename(directory, &layout.layer(&layer.diff_id))?;
            Ok(None)
        }
        Some(Content::Tar { stream, index }) => {
            rename(stream, &layout.tar(&layer.diff_id))?;
            let index = index.to_bytes()?;
            write(staging, &layout.index_of(&layer.diff_id), &index)?;
            Ok(Some(Digest::of(index)))
        }
    }
}

fn record(
    layout: &Layout,
    staging: &Staging,
    layer: &Ingested,
    index: Option<Digest>,
) -> Result<()> {
    let (size, warnings) = (layer.size, layer.warnings.clone());
    match (&layer.content, index) {
        (Some(Content::Tar { .. }), Some(index)) => {
            let record = TarRecord::new(size, index, warnings);
            record::write(staging, &layout.tar_record(&layer.diff_id), &record)?;
        }
        (Some(Content::Directory(_)), _) => {
            let record = LayerRecord::new(size, warnings);
            record::write(staging, &layout.layer_record(&layer.diff_id), &record)?;
        }
        _ => {}
    }
    let record = BlobRecord::new(layer.diff_id);
    record::write(staging, &layout.blob_record(&layer.digest), &record)
}

/// The large files of an import without unpacked layers.
fn written(
    layout: &Layout,
    resolved: &Resolved,
    ingested: &[Ingested],
    root: Option<&BuiltRoot>,
) -> Vec<PathBuf> {
    let mut paths = vec![
        layout.blob(&resolved.descriptor.digest),
        layout.blob(&resolved.manifest.config.digest),
    ];
    for layer in ingested {
        paths.push(layout.blob(&layer.digest));
        if layer.content.is_some() {
            paths.push(layout.tar(&layer.diff_id));
            paths.push(layout.index_of(&layer.diff_id));
        }
    }
    paths.extend(root.map(|root| layout.erofs(&root.chain)));
    paths
}

fn records(layout: &Layout, ingested: &[Ingested], root: Option<&BuiltRoot>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for layer in ingested {
        paths.push(layout.blob_record(&layer.digest));
        match layer.content {
            Some(Content::Tar { .. }) => paths.push(layout.tar_record(&layer.diff_id)),
            Some(Content::Directory(_)) => paths.push(layout.layer_record(&layer.diff_id)),
            None => {}
        }
    }
    paths.extend(root.map(|root| layout.erofs_record(&root.chain)));
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
