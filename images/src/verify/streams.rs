//! Checks of what the EROFS form is made of: tar streams, their indexes, and the
//! images of whole root file systems.

use std::fs::File;
use std::io::{self, BufReader};

use super::FindingKind;
use super::index::hash;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::rootfs::built::{self, BuiltForm};
use crate::store::chain::Chain;
use crate::store::layout::{Layout, read_small};
use crate::store::record::{self, ErofsRecord, TarRecord};
use crate::unpack::limits::{Budget, IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX};
use crate::{Digest, Interrupt, unpack};

/// What is wrong with something, and of which kind it is.
pub(super) type Damage = (FindingKind, String);

/// Largest index or EROFS image that is read, in bytes.
const METADATA_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Compares a stream with its diff ID, and its index with the stream.
pub(super) fn stream(
    layout: &Layout,
    diff_id: &Digest,
    interrupt: &Interrupt,
) -> Result<Option<Damage>> {
    let Some(record) = record::read::<TarRecord>(&layout.tar_record(diff_id)) else {
        return Ok(Some(damaged_record()));
    };
    let path = layout.stream(diff_id);
    let failed = || format!("reading {}", quoted_path(&path));
    let open = || File::open(&path);
    let file = match open() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some((FindingKind::Layer, "it is missing".to_owned())));
        }
        other => other.doing(failed)?,
    };
    let size = file.metadata().doing(failed)?.len();
    let found = hash(file, interrupt)?;
    if found != *diff_id {
        let what = format!("its stream has the digest {found}");
        return Ok(Some((FindingKind::Layer, what)));
    }
    let mut budget = Budget::new(IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX);
    budget.interrupt = interrupt.clone();
    let (index, warnings) = unpack::index(BufReader::new(open().doing(failed)?), &budget)?;
    let index = index.digest()?;
    if record != TarRecord::new(size, index, warnings) {
        let what = "its record states another size, index or warnings";
        return Ok(Some((FindingKind::Record, what.to_owned())));
    }
    if !has_index(layout, diff_id, &index)? {
        let what = "its index is damaged".to_owned();
        return Ok(Some((FindingKind::Layer, what)));
    }
    Ok(None)
}

/// True if the index of a layer is as it should be.
pub(super) fn has_index(layout: &Layout, diff_id: &Digest, expected: &Digest) -> Result<bool> {
    let stored = read_small(&layout.index_of(diff_id), METADATA_MAX)?;
    Ok(stored.map(Digest::of) == Some(*expected))
}

/// Compares an EROFS image with its record, and if the layers are known with what
/// they make.
pub(super) fn root(
    layout: &Layout,
    chain: &Digest,
    layers: Option<&[Digest]>,
) -> Result<Option<Damage>> {
    let Some(record) = record::read::<ErofsRecord>(&layout.erofs_record(chain)) else {
        return Ok(Some(damaged_record()));
    };
    let stored = read_small(&layout.erofs(chain), METADATA_MAX)?;
    if stored.map(Digest::of) != Some(record.digest) {
        let what = "the EROFS image is missing or damaged".to_owned();
        return Ok(Some((FindingKind::Root, what)));
    }
    let Some(layers) = layers else {
        return Ok(None);
    };
    match built::erofs(&Chain::new(layers), layout, &[], io::sink()).map(|built| built.form) {
        Ok(BuiltForm::Erofs { record: again, .. }) if again == record => Ok(None),
        Ok(_) => {
            let what = "its record states other devices or warnings".to_owned();
            Ok(Some((FindingKind::Record, what)))
        }
        // A layer is damaged, which is a finding of its own; this one is whole.
        Err(error) if error.kind() != crate::ErrorKind::Io => Ok(None),
        Err(error) => Err(Error::within(error, "checking a root file system")),
    }
}

pub(super) fn damaged_record() -> Damage {
    let what = "its record is missing or damaged".to_owned();
    (FindingKind::Record, what)
}
