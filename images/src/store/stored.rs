//! Which layers the store has, in a form, and from what it can make them again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::layout::Layout;
use super::record::{self, LayerRecord, TarRecord};
use crate::error::{Error, ErrorKind, IoContext, Result, quoted_path};
use crate::manifest::{Descriptor, OCI_LAYER};
use crate::source::Source;
use crate::{Digest, Form, Platform};

/// Bytes of the tar stream of a layer whose content is there in this form.
pub(crate) fn size(layout: &Layout, form: Form, diff_id: &Digest) -> Option<u64> {
    match form {
        Form::Directory => {
            let record: LayerRecord = record::read(&layout.layer_record(diff_id))?;
            let complete = layout.layer(diff_id).is_dir() && layout.index_of(diff_id).is_file();
            complete.then_some(record.size)
        }
        Form::Erofs => stream(layout, diff_id).ok()?,
    }
}

/// Bytes of the tar stream of a layer that is there as such.
///
/// # Errors
///
/// `Io` if that cannot be told, which says nothing about the stream.
pub(crate) fn stream(layout: &Layout, diff_id: &Digest) -> Result<Option<u64>> {
    let Some(record) = record::try_read::<TarRecord>(&layout.tar_record(diff_id))? else {
        return Ok(None);
    };
    let is_whole = length(&layout.stream(diff_id))? == Some(record.size);
    let has_index = length(&layout.index_of(diff_id))?.is_some();
    Ok((is_whole && has_index).then_some(record.size))
}

/// What was left out of a stored layer.
pub(crate) fn warnings(layout: &Layout, form: Form, diff_id: &Digest) -> Option<Vec<String>> {
    Some(match form {
        Form::Erofs => record::read::<TarRecord>(&layout.tar_record(diff_id))?.warnings,
        Form::Directory => record::read::<LayerRecord>(&layout.layer_record(diff_id))?.warnings,
    })
}

/// Digest of the index of a stored layer, whatever its form.
pub(crate) fn index(layout: &Layout, diff_id: &Digest) -> Vec<Digest> {
    let tar = record::read::<TarRecord>(&layout.tar_record(diff_id)).map(|record| record.index);
    let layer = record::read::<LayerRecord>(&layout.layer_record(diff_id));
    tar.into_iter()
        .chain(layer.map(|record| record.index))
        .collect()
}

/// True if there is a file of the right size for this blob.
pub(crate) fn has_blob(layout: &Layout, blob: &Descriptor) -> bool {
    length(&layout.blob(&blob.digest)).is_ok_and(|length| length == Some(blob.size))
}

/// The blob that a layer can be read from again: its stream, or the blob that it was
/// received as.
///
/// No record vouches for it; whoever reads it checks its digest.
pub(crate) fn archive(layout: &Layout, blob: &Descriptor, diff_id: &Digest) -> Option<Descriptor> {
    // What is not compressed is read in a fraction of the time.
    match length(&layout.stream(diff_id)) {
        Ok(Some(size)) => Some(Descriptor {
            media_type: OCI_LAYER.to_owned(),
            digest: *diff_id,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }),
        _ => has_blob(layout, blob).then(|| blob.clone()),
    }
}

/// Bytes of a regular file, if there is one.
fn length(path: &Path) -> Result<Option<u64>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => {
            let metadata = other.doing(|| format!("looking at {}", quoted_path(path)))?;
            Ok(metadata.is_file().then_some(metadata.len()))
        }
    }
}

/// A store as a source of blobs.
pub(crate) struct Stored<'a>(pub(crate) &'a Layout);

impl Source for Stored<'_> {
    fn root(&self, _platform: &Platform) -> Result<Descriptor> {
        Err(Error::unsupported("a store is read blob by blob"))
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let path = self.0.blob(&blob.digest);
        match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(
                ErrorKind::NotFound,
                format!("blob {} is not in the store", blob.digest),
            )),
            other => Ok(Box::new(
                other.doing(|| format!("reading {}", quoted_path(&path)))?,
            )),
        }
    }
}
