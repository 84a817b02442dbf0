//! `lambent image pull` and `load`.

use std::sync::Arc;

use lambent_images::{Image, ImageName, ImageReference};
use serde_json::json;

use super::super::args::{ImportSettings, Load, OutputFormat, Pull};
use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use super::super::progress::ProgressDisplay;
use crate::images::{Display, ImageRequest, ImageStore, import};
use crate::service_error::ServiceError;

pub(super) async fn pull(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Pull,
) -> Result<ExitStatus, CommandError> {
    one(images, display, command.reference, &command.import).await?;
    Ok(ExitStatus::Success)
}

pub(super) async fn load(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Load,
) -> Result<ExitStatus, CommandError> {
    for file in command.files {
        one(images, display, file, &command.import).await?;
    }
    Ok(ExitStatus::Success)
}

impl Load {
    /// What the argument parser cannot say.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        if self.import.name.is_some() && self.files.len() > 1 {
            return Err(CommandError::Usage(format!(
                "--name names one image, and {} files are given; load them one by one",
                self.files.len()
            )));
        }
        Ok(())
    }
}

async fn one(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    reference: ImageReference,
    settings: &ImportSettings,
) -> Result<(), CommandError> {
    let request = ImageRequest {
        reference,
        platform: settings.choice.platform(),
        name: settings.name.clone(),
    };
    let shown = Arc::clone(display) as Display;
    let imported = images
        .run(shown, move |store, progress| {
            let image = import(store, &request, progress)?;
            let names = store.names(&image.manifest_digest)?;
            Ok::<_, ServiceError>((image, names))
        })
        .await;
    display.clear();
    let (image, names) = imported?;
    for warning in &image.warnings {
        output::progress(&format!("warning: {warning}"));
    }
    print(&image, &names, settings.output)
}

fn print(image: &Image, names: &[ImageName], format: OutputFormat) -> Result<(), CommandError> {
    let names: Vec<_> = names.iter().map(ImageName::as_str).collect();
    match format {
        OutputFormat::Text => {
            let mut line = image.manifest_digest.to_string();
            for name in names {
                line.push(' ');
                line.push_str(name);
            }
            output::line(&line)?;
        }
        OutputFormat::Json => output::json(&json!({
            "digest": image.manifest_digest,
            "names": names,
            "platform": image.config.platform().to_string(),
            "layers": image.layers.len(),
            "warnings": image.warnings,
        }))?,
    }
    Ok(())
}
