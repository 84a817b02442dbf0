//! `lambent image ls` and `inspect`.

use std::sync::Arc;
use std::time::SystemTime;

use lambent_images::{Image, ImageName, StoredImage};
use serde_json::{Value, json};

use super::super::args::{Inspect, Ls, OutputFormat};
use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use super::super::progress::ProgressDisplay;
use crate::images::{Display, ImageStore};

pub(super) async fn list(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Ls,
) -> Result<ExitStatus, CommandError> {
    let shown = Arc::clone(display) as Display;
    let stored = images.run(shown, |store, _| Ok(store.list()?)).await?;
    if command.quiet {
        for image in &stored {
            output::line(&image.manifest_digest.to_string())?;
        }
        return Ok(ExitStatus::Success);
    }
    match command.output {
        OutputFormat::Json => {
            for image in &stored {
                output::json(&summary(image))?;
            }
        }
        OutputFormat::Text => {
            let header = [
                "NAME", "DIGEST", "PLATFORM", "IMPORTED", "LAYERS", "SIZE", "BLOBS",
            ];
            let mut rows = vec![header.map(str::to_owned)];
            rows.extend(stored.iter().rev().flat_map(rows_of));
            for line in output::table(&rows) {
                output::line(&line)?;
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// A row for each name.
fn rows_of(image: &StoredImage) -> Vec<[String; 7]> {
    let unknown = || "?".to_owned();
    let (layers, size, blobs) = match &image.details {
        Ok(details) => (
            details.layers.to_string(),
            details.unpacked_size.map_or_else(unknown, output::size),
            output::size(details.compressed_size),
        ),
        Err(_) => ("damaged".to_owned(), unknown(), unknown()),
    };
    let names = if image.names.is_empty() {
        vec!["<none>".to_owned()]
    } else {
        image.names.iter().map(ToString::to_string).collect()
    };
    let platform = image.platform.as_ref().map_or_else(unknown, |platform| {
        platform.to_string().escape_debug().to_string()
    });
    names
        .into_iter()
        .map(|name| {
            [
                name,
                image.manifest_digest.hex()[..12].to_owned(),
                platform.clone(),
                image
                    .imported
                    .map_or_else(unknown, |at| time(at, "%Y-%m-%d %H:%M")),
                layers.clone(),
                size.clone(),
                blobs.clone(),
            ]
        })
        .collect()
}

fn summary(image: &StoredImage) -> Value {
    let details = image.details.as_ref();
    json!({
        "digest": image.manifest_digest,
        "names": texts(&image.names),
        "platform": image.platform.as_ref().map(ToString::to_string),
        "imported": image.imported.map(|at| time(at, "%Y-%m-%dT%H:%M:%SZ")),
        "created": details.ok().and_then(|details| details.created.as_ref()),
        "layers": details.ok().map(|details| details.layers),
        "compressedSize": details.ok().map(|details| details.compressed_size),
        "unpackedSize": details.ok().and_then(|details| details.unpacked_size),
        "damage": details.err(),
    })
}

fn time(at: SystemTime, format: &str) -> String {
    chrono::DateTime::<chrono::Utc>::from(at)
        .format(format)
        .to_string()
}

fn texts(names: &[ImageName]) -> Vec<&str> {
    names.iter().map(ImageName::as_str).collect()
}

pub(super) async fn inspect(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Inspect,
) -> Result<ExitStatus, CommandError> {
    for text in command.images {
        let shown = Arc::clone(display) as Display;
        let wanted = text.clone();
        let found = images
            .run(shown, move |store, _| {
                let Some(image) = store.find(&wanted)? else {
                    return Ok(None);
                };
                let names = store.names(&image.manifest_digest)?;
                Ok(Some((image, names)))
            })
            .await?;
        let (image, names) = found.ok_or_else(|| super::no_such_image(&text))?;
        output::json_document(&description(&image, &names))?;
    }
    Ok(ExitStatus::Success)
}

fn description(image: &Image, names: &[ImageName]) -> Value {
    let config = &image.config;
    let layers: Vec<_> = image
        .layers
        .iter()
        .map(|layer| {
            json!({
                "digest": layer.digest,
                "diffId": layer.diff_id,
                "size": layer.size,
                "mediaType": layer.media_type,
            })
        })
        .collect();
    json!({
        "digest": image.manifest_digest,
        "names": texts(names),
        "platform": config.platform().to_string(),
        "created": config.created,
        "config": {
            "env": config.env,
            "entrypoint": config.entrypoint,
            "cmd": config.cmd,
            "workingDir": config.working_dir,
            "user": config.user,
            "labels": config.labels,
        },
        "layers": layers,
        "warnings": image.warnings,
    })
}
