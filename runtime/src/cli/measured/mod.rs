//! What commands have in common that measure a function: the image made ready, the
//! progress, the files with what was found out.

mod files;
mod print;
mod progress;

use std::sync::Arc;

use lambent_images::ImageReference;
use serde_json::Value;

pub(super) use self::files::{check, check_file, write};
pub(super) use self::print::print;
pub(super) use self::progress::MeasuringProgress;
use super::args::{ImportChoice, LayerSource};
use super::exit_status::CommandError;
use super::extra_layers;
use super::progress::ProgressDisplay;
use super::{interrupted, output};
use crate::control_plane::LayerStore;
use crate::environment::{InvocationResult, Outcome};
use crate::images::{Display, ImageRequest};
use crate::model::Failure;
use crate::service::{PreparedCode, Service};
use crate::state::StateDirectories;

/// Makes an image ready and does `work` with it; nothing is left when it returns.
/// Until the image is ready ctrl-C ends it; after that it is the work's to listen.
pub(super) async fn with_function<T>(
    directories: StateDirectories,
    image: ImageReference,
    choice: &ImportChoice,
    layers: &[LayerSource],
    work: impl AsyncFnOnce(&Service, Arc<PreparedCode>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let request = ImageRequest {
        reference: image,
        platform: choice.platform(),
        name: None,
    };
    let service = Service::open(directories.clone())?;
    // After the service, which makes the directories.
    let store = if layers.is_empty() {
        None
    } else {
        Some(LayerStore::open(&directories, service.region())?)
    };
    let progress = Arc::new(ProgressDisplay::beside_a_log(choice.quiet));
    let preparing = async {
        let display = Arc::clone(&progress) as Display;
        let image = Arc::new(service.prepare(request, display).await?);
        progress.finish();
        for warning in &image.image.warnings {
            output::diagnostic(&format!("warning: {warning}"));
        }
        Ok(Arc::new(match &store {
            Some(store) => extra_layers::attach(store, None, layers, image)?,
            None => image.into(),
        }))
    };
    let prepared = tokio::select! {
        prepared = preparing => prepared,
        error = interrupted() => Err(error),
    };
    progress.finish();
    let result = match prepared {
        Ok(code) => work(&service, code).await,
        Err(error) => Err(error),
    };
    // However it ended: the command returns when nothing is left.
    service.shutdown().await;
    if let Some(Err(refusal)) = store.map(|store| store.collect()) {
        output::diagnostic(&format!("warning: layers stay in the store: {refusal}"));
    }
    result
}

/// Does `work` until it is done, or ctrl-C ends it: true if that did.
pub(super) async fn until_interrupted(
    progress: &MeasuringProgress,
    work: impl Future<Output = Result<(), CommandError>>,
) -> Result<bool, CommandError> {
    let done = tokio::select! {
        done = work => Some(done),
        _ = interrupted() => None,
    };
    progress.finish();
    done.transpose().map(|done| done.is_none())
}

/// The error of a result that no other memory size and no repetition would change.
pub(super) fn unusable(result: &InvocationResult) -> Option<CommandError> {
    let (what, reason) = match &result.outcome {
        Outcome::Failure(Failure::InvalidEntrypoint(reason)) => ("the entry point", reason),
        Outcome::Failure(Failure::InvalidWorkingDirectory(reason)) => {
            ("the working directory", reason)
        }
        _ => return None,
    };
    Some(CommandError::Image(format!(
        "{what} cannot be used: {reason} (`lambent invoke` says more)"
    )))
}

/// What the caller of a failed invocation would see, short enough for one line.
pub(super) fn message(result: &InvocationResult) -> String {
    in_short(&result.payload())
}

/// An error's type and message, else the text; without the request's ID, which makes a
/// different error of each.
fn in_short(payload: &[u8]) -> String {
    const LONGEST: usize = 300;
    let told = serde_json::from_slice::<Value>(payload).ok();
    let text = |name: &str| told.as_ref()?.get(name)?.as_str();
    let text = match (text("errorType"), text("errorMessage")) {
        (Some(kind), Some(message)) => format!("{kind}: {}", without_request(message)),
        _ => String::from_utf8_lossy(payload).into_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `RequestId: ID Error: MESSAGE` is Lambda's form of its own errors.
fn without_request(message: &str) -> &str {
    let rest = message.strip_prefix("RequestId: ");
    let rest = rest.and_then(|rest| rest.split_once(' '));
    let error = rest.and_then(|(_, rest)| rest.strip_prefix("Error: "));
    error.unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_short() {
        for (payload, expected) in [
            (
                r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1-2 Error: Runtime exited"}"#,
                "Runtime.ExitError: Runtime exited",
            ),
            (
                r#"{"errorType":"KeyError","errorMessage":"RequestId:\n 1"}"#,
                "KeyError: RequestId: 1",
            ),
            (r#"{"errorType": 1}"#, r#"{"errorType": 1}"#),
            ("a\tb\u{1b}", "a b"),
        ] {
            assert_eq!(in_short(payload.as_bytes()), expected);
        }
        assert!(in_short("x".repeat(400).as_bytes()).ends_with("x…"));
    }
}
