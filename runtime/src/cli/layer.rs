//! `lambent layer`: the layers that are kept. A running service sees what changes
//! here, and the other way round.

use serde_json::Value;

use super::args::{LayerCommand, ListLayers, OutputFormat, PublishLayer, RemoveLayers};
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use crate::catalog::{LayerVersionArn, PublishLayer as Request, Refusal, RefusalKind, layer_name};
use crate::control_plane::LayerStore;
use crate::service::region;
use crate::state::StateDirectories;

pub(super) fn run(
    command: LayerCommand,
    directories: &StateDirectories,
) -> Result<ExitStatus, CommandError> {
    directories
        .create()
        .map_err(|error| CommandError::Host(error.to_string()))?;
    let store = LayerStore::open(directories, &region())?;
    match command {
        LayerCommand::Publish(command) => publish(&store, command),
        LayerCommand::Ls(command) => list(&store, &command),
        LayerCommand::Rm(command) => remove(&store, &command),
    }
}

fn publish(store: &LayerStore, command: PublishLayer) -> Result<ExitStatus, CommandError> {
    let name = layer_name(&command.name).map_err(usage)?;
    let archive = store.archive_of(&command.content)?;
    let request = Request {
        description: Some(command.description),
        compatible_runtimes: Some(command.compatible_runtime),
        ..Request::default()
    };
    let answer = store.publish(&name, &request, archive).map_err(refused)?;
    match command.output {
        OutputFormat::Json => output::json(&answer)?,
        OutputFormat::Text => {
            output::line(answer["LayerVersionArn"].as_str().unwrap_or_default())?;
        }
    }
    Ok(ExitStatus::Success)
}

fn list(store: &LayerStore, command: &ListLayers) -> Result<ExitStatus, CommandError> {
    let header = ["NAME", "VERSION", "CREATED", "SIZE", "DESCRIPTION"];
    let mut rows = vec![header.map(str::to_owned)];
    for name in store.names().map_err(refused)? {
        let book = store.book(&name).map_err(refused)?;
        for version in book.numbers() {
            let Some(answer) = book.answer(store.arns(), &name, version) else {
                continue;
            };
            match command.output {
                OutputFormat::Json => output::json(&answer)?,
                OutputFormat::Text => rows.push([
                    name.clone(),
                    version.to_string(),
                    created(&answer),
                    output::size(answer["Content"]["CodeSize"].as_u64().unwrap_or_default()),
                    answer["Description"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                ]),
            }
        }
    }
    if command.output == OutputFormat::Text {
        for line in output::table(&rows) {
            output::line(&line)?;
        }
    }
    Ok(ExitStatus::Success)
}

fn remove(store: &LayerStore, command: &RemoveLayers) -> Result<ExitStatus, CommandError> {
    for text in &command.versions {
        let (name, version) = version(text)?;
        if !store.remove(&name, version).map_err(refused)? {
            return Err(CommandError::Image(format!(
                "there is no layer version \"{}\"; `lambent layer ls` lists what there is",
                text.escape_debug()
            )));
        }
        output::line(&format!("removed {name}:{version}"))?;
    }
    Ok(ExitStatus::Success)
}

/// Date and time to the minute.
fn created(answer: &Value) -> String {
    let text = answer["CreatedDate"].as_str().unwrap_or_default();
    text.get(..16).unwrap_or(text).replace('T', " ")
}

/// `NAME:VERSION`, or an ARN.
pub(super) fn version(text: &str) -> Result<(String, u64), CommandError> {
    if text.starts_with("arn:") {
        let arn = LayerVersionArn::parse(text).map_err(usage)?;
        return Ok((arn.name, arn.version));
    }
    let parsed = text
        .split_once(':')
        .and_then(|(name, version)| Some((layer_name(name).ok()?, version.parse().ok()?)));
    parsed.ok_or_else(|| {
        CommandError::Usage(format!(
            "\"{}\" is not NAME:VERSION, such as pillow:1",
            text.escape_debug()
        ))
    })
}

pub(super) fn usage(refusal: Refusal) -> CommandError {
    CommandError::Usage(refusal.message)
}

pub(super) fn refused(refusal: Refusal) -> CommandError {
    match refusal.kind {
        RefusalKind::Service => CommandError::Host(refusal.message),
        _ => CommandError::Image(refusal.message),
    }
}
