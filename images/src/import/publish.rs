//! The end of an import: everything to its place, one flush, then the records.

use std::fs;
use std::io::Write;
use std::path::Path;

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
    flush(layout)?;
    for (layer, index) in ingested.iter().zip(indexes) {
        record(layout, staging, layer, index)?;
    }
    if let Some(root) = root {
        record::write(staging, &layout.erofs_record(&root.chain), &root.record)?;
    }
    // The image is listed only when all that it needs would survive a power cut.
    flush(layout)?;
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

fn flush(layout: &Layout) -> Result<()> {
    rustix::fs::syncfs(layout.root_fd()).doing(|| "syncing the image store".to_owned())
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
