//! Layers on a function of an image, where Lambda has none; and code over it.

use std::path::Path;
use std::sync::Arc;

use super::args::LayerSource;
use super::exit_status::CommandError;
use super::layer::{refused, usage, version};
use super::output;
use crate::catalog::check_layer_count;
use crate::control_plane::LayerStore;
use crate::service::{PreparedCode, PreparedImage};
use crate::service_error::ServiceError;

/// What Lambda would say.
const REFUSAL: &str = "Lambda refuses layers on functions of images";

/// Says that Lambda would refuse it, or (with `strict`) refuses too.
pub(super) fn check(layers: &[LayerSource], strict: bool) -> Result<(), CommandError> {
    if layers.is_empty() {
        return Ok(());
    }
    check_count(layers)?;
    if strict {
        return Err(CommandError::Usage(format!(
            "--strict: {REFUSAL}; put the files below /opt of the image"
        )));
    }
    output::diagnostic(&format!(
        "warning: {REFUSAL}, they are for trying things here: put the files below /opt of the \
         image before you push it"
    ));
    Ok(())
}

/// Looks whether there may be so many, and whether those in files are there; for who says
/// in another way that Lambda would refuse them.
pub(super) fn check_named(layers: &[LayerSource]) -> Result<(), CommandError> {
    check_count(layers)?;
    for layer in layers {
        if let LayerSource::Path(path) = layer {
            path.metadata().map_err(|error| {
                CommandError::Image(format!("cannot read {}: {error}", path.display()))
            })?;
        }
    }
    Ok(())
}

fn check_count(layers: &[LayerSource]) -> Result<(), CommandError> {
    let counted = vec![String::new(); layers.len()];
    check_layer_count(&counted).map_err(usage)
}

/// The image with these layers, and with the files of a directory or an archive at
/// `/var/task`. Reads and writes files.
pub(super) fn attach(
    store: &LayerStore,
    task_root: Option<&Path>,
    layers: &[LayerSource],
    image: Arc<PreparedImage>,
) -> Result<PreparedCode, CommandError> {
    let unpacked = |path: &Path| {
        let archive = store.archive_of(path)?;
        store.unpack(archive).map_err(refused)
    };
    let task = task_root.map(unpacked).transpose()?;
    let mut leases = vec![];
    for layer in layers {
        match layer {
            LayerSource::Published(text) => {
                let (name, version) = version(text)?;
                let arn = store.arns().layer_version(&name, version);
                let resolved = store.resolve(&[arn]).map_err(refused)?;
                leases.extend(resolved.into_iter().map(|(_, lease)| lease));
            }
            LayerSource::Path(path) => leases.push(unpacked(path)?),
        }
    }
    PreparedCode::new(store.packages(), image, task, leases)
        .map_err(|error: ServiceError| error.into())
}
