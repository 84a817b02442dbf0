//! `lambent image rm` and `prune`.

use std::sync::Arc;

use lambent_images::{ImageName, Removal};
use serde_json::json;

use super::super::args::{OutputFormat, Prune, Rm};
use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use super::super::progress::ProgressDisplay;
use crate::images::{Display, ImageStore};

pub(super) async fn remove(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Rm,
) -> Result<ExitStatus, CommandError> {
    for text in command.images {
        let display = Arc::clone(display) as Display;
        let removal = images
            .run(display, move |store, progress| {
                Ok(store.remove(&text, progress)?)
            })
            .await?;
        print(&removal, command.output)?;
    }
    Ok(ExitStatus::Success)
}

pub(super) async fn prune(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Prune,
) -> Result<ExitStatus, CommandError> {
    let display = Arc::clone(display) as Display;
    let removal = images
        .run(display, move |store, progress| {
            Ok(store.prune(command.all, progress)?)
        })
        .await?;
    print(&removal, command.output)?;
    if command.output == OutputFormat::Text {
        output::line(&format!("freed {}", output::size(removal.bytes_freed)))?;
    }
    Ok(ExitStatus::Success)
}

fn print(removal: &Removal, format: OutputFormat) -> Result<(), CommandError> {
    match format {
        OutputFormat::Text => {
            for name in &removal.names {
                output::line(&format!("untagged {name}"))?;
            }
            for digest in &removal.images {
                output::line(&format!("removed {digest}"))?;
            }
        }
        OutputFormat::Json => output::json(&json!({
            "names": removal.names.iter().map(ImageName::as_str).collect::<Vec<_>>(),
            "images": removal.images,
            "bytesFreed": removal.bytes_freed,
        }))?,
    }
    Ok(())
}
