//! `lambent image unpack`.

use std::sync::Arc;

use super::super::args::Unpack;
use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use super::super::progress::ProgressDisplay;
use crate::images::{Display, ImageRequest, ImageStore, find_or_import};

pub(super) async fn run(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Unpack,
) -> Result<ExitStatus, CommandError> {
    let request = ImageRequest {
        platform: command.choice.platform(),
        reference: command.image,
        name: None,
    };
    let directory = command.directory;
    let shown = Arc::clone(display) as Display;
    let warnings = images
        .run(shown, move |store, progress| {
            let image = find_or_import(store, &request, progress)?;
            Ok(store.unpack(&image, &directory, progress)?)
        })
        .await?;
    display.finish();
    for warning in warnings {
        output::diagnostic(&format!("warning: {warning}"));
    }
    Ok(ExitStatus::Success)
}
