//! One layer: from the source's bytes to a verified blob and directory in staging.

use std::fs::DirBuilder;
use std::io::BufReader;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::plan::{Item, diff_id_mismatch};
use super::stream::{BlobStream, TarStream, drain};
use super::{check_cancelled, wants_directory};
use crate::error::{ErrorKind, IoContext, Result};
use crate::source::Source;
use crate::store::layout::private_file;
use crate::store::staging::Staging;
use crate::unpack::decompress::Decoder;
use crate::unpack::limits::Budget;
use crate::unpack::{self, path::open_root};
use crate::{Digest, LayerProgress, Progress};

/// Bytes read from a source at a time.
const BLOB_BUFFER: usize = 128 * 1024;
/// Bytes of tar stream that are inflated and hashed at a time.
const TAR_BUFFER: usize = 256 * 1024;

/// A verified layer in the staging directory.
#[derive(Debug)]
pub(crate) struct Ingested {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    pub(crate) blob: PathBuf,
    pub(crate) directory: Option<PathBuf>,
    /// Bytes of the tar stream.
    pub(crate) size: u64,
    pub(crate) warnings: Vec<String>,
}

/// Reads, verifies and unpacks one layer.
pub(super) fn ingest(
    source: &dyn Source,
    item: &Item,
    staging: &Staging,
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Ingested> {
    check_cancelled(budget)?;
    let descriptor = &item.descriptor;
    let total = descriptor.size;
    progress.layer(&descriptor.digest, LayerProgress::Started { total });
    let blob = staging
        .path()
        .join(format!("blob-{}", descriptor.digest.hex()));
    let directory =
        wants_directory(item).then(|| staging.path().join(format!("layer-{}", item.diff_id.hex())));
    let copy = private_file(&blob).doing(|| "storing a blob".to_owned())?;
    let mut stream = BlobStream::new(source.open(descriptor)?, copy, descriptor, progress);
    let unpacked = unpack(&mut stream, directory.as_ref(), staging, budget);
    let unpacked = match unpacked {
        // A damaged blob shows first as a broken archive; that it is damaged is
        // the better answer, and it takes the digest of all of it to know.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Io | ErrorKind::LimitExceeded | ErrorKind::Interrupted
            ) || budget.is_cancelled() =>
        {
            return Err(error);
        }
        Err(error) => {
            stream.verify()?;
            return Err(error);
        }
        Ok(unpacked) => {
            stream.verify()?;
            unpacked
        }
    };
    let found = unpacked.diff_id.unwrap_or(descriptor.digest);
    if found != item.diff_id {
        return Err(diff_id_mismatch(&descriptor.digest, &item.diff_id, &found));
    }
    progress.layer(&descriptor.digest, LayerProgress::Finished);
    Ok(Ingested {
        digest: descriptor.digest,
        diff_id: item.diff_id,
        blob,
        directory,
        size: unpacked.size,
        warnings: unpacked.warnings,
    })
}

struct Unpacked {
    diff_id: Option<Digest>,
    size: u64,
    warnings: Vec<String>,
}

fn unpack(
    blob: &mut BlobStream<'_>,
    directory: Option<&PathBuf>,
    staging: &Staging,
    budget: &Budget,
) -> Result<Unpacked> {
    let reading = || "reading the layer".to_owned();
    let decoder = Decoder::new(BufReader::with_capacity(BLOB_BUFFER, blob)).doing(reading)?;
    let hash = !decoder.is_plain();
    let mut tar = BufReader::with_capacity(TAR_BUFFER, TarStream::new(decoder, hash, budget));
    let warnings = match directory {
        Some(path) => {
            let failed = || "making a directory for the layer".to_owned();
            DirBuilder::new().mode(0o700).create(path).doing(failed)?;
            let root = open_root(path).doing(failed)?;
            unpack::layer(&mut tar, root, staging.fd(), budget)?
        }
        None => Vec::new(),
    };
    // The diff ID covers what follows the archive's end marker as well.
    drain(&mut tar).doing(reading)?;
    let (diff_id, size) = tar.into_inner().finish();
    Ok(Unpacked {
        diff_id,
        size,
        warnings,
    })
}
