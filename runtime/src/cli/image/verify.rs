//! `lambent image verify`.

use std::sync::Arc;

use lambent_images::{Finding, Verification};
use serde_json::json;

use super::super::args::{OutputFormat, Verify};
use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use super::super::progress::ProgressDisplay;
use super::resolve;
use crate::images::{Display, ImageStore};

pub(super) async fn run(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Verify,
) -> Result<ExitStatus, CommandError> {
    let chosen = command
        .images
        .iter()
        .map(|text| resolve(images, text))
        .collect::<Result<Vec<_>, _>>()?;
    let shown = Arc::clone(display) as Display;
    let verification = images
        .run(shown, move |store, progress| {
            Ok(store.verify(&chosen, progress)?)
        })
        .await?;
    display.finish();
    for finding in &verification.findings {
        match command.output {
            OutputFormat::Text => output::line(&text(finding))?,
            OutputFormat::Json => output::json(&json!({
                "kind": finding.kind.to_string(),
                "digest": finding.digest,
                "what": finding.what,
                "images": finding.images,
            }))?,
        }
    }
    judge(&verification, command.output)
}

fn text(finding: &Finding) -> String {
    let digest = finding.digest.map(|digest| format!(" {digest}"));
    let mut line = format!(
        "{}{}: {}",
        finding.kind,
        digest.unwrap_or_default(),
        finding.what
    );
    for (index, image) in finding.images.iter().enumerate() {
        line.push_str(if index == 0 { "; needed by " } else { ", " });
        line.push_str(&image.to_string());
    }
    line
}

fn judge(verification: &Verification, format: OutputFormat) -> Result<ExitStatus, CommandError> {
    let damaged = verification.findings.len();
    if damaged > 0 {
        return Err(CommandError::Image(format!(
            "the store is damaged in {damaged} places; none of that is used any more, and importing \
             the images again from where they came repairs it"
        )));
    }
    if format == OutputFormat::Text {
        output::line(&format!(
            "{} blobs, {} of them layers: all as they should be",
            verification.blobs, verification.layers
        ))?;
    }
    Ok(ExitStatus::Success)
}
