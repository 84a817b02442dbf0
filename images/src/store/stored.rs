//! Which layers the store has, in a form.

use super::layout::Layout;
use super::record::{self, LayerRecord, TarRecord};
use crate::{Digest, Form};

/// Bytes of the tar stream of a layer whose content is there in this form.
pub(crate) fn size(layout: &Layout, form: Form, diff_id: &Digest) -> Option<u64> {
    match form {
        Form::Directory => {
            let record: LayerRecord = record::read(&layout.layer_record(diff_id))?;
            let complete = layout.layer(diff_id).is_dir() && layout.index_of(diff_id).is_file();
            complete.then_some(record.size)
        }
        Form::Erofs => {
            let record: TarRecord = record::read(&layout.tar_record(diff_id))?;
            let stream = layout.tar(diff_id).symlink_metadata().ok()?;
            let complete = stream.is_file() && stream.len() == record.size;
            (complete && layout.index_of(diff_id).is_file()).then_some(record.size)
        }
    }
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
