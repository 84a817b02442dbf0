//! `lambent test`: suites in, verdicts out.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the command |
//! | `files.rs` | suites from files, and back into them |
//! | `stage.rs` | images and code of all cases |
//! | `run.rs` | groups of cases side by side, each in its environments |
//! | `transformer.rs` | jq filters, limited |
//! | `outcome.rs` | what became of a case |
//! | `text.rs`, `json.rs`, `junit.rs`, `results.rs` | how it is shown |

mod files;
mod json;
mod junit;
mod outcome;
mod results;
mod run;
mod stage;
mod text;
mod transformer;

use std::sync::Arc;

use self::files::{LoadedSuite, SelectedCase};
use self::outcome::Verdict;
use self::results::Results;
use self::run::Runner;
use self::stage::Stage;
use self::transformer::Transformer;
pub use self::transformer::{TRANSFORM_COMMAND, answer_transform};
use super::args::{Test, TestFormat};
use super::exit_status::{CommandError, ExitStatus};
use super::measured::check_file;
use super::progress::ProgressDisplay;
use super::strict::refuse_unenforced;
use super::{extra_layers, interrupted, output};
use crate::control_plane::LayerStore;
use crate::images::Display;
use crate::model::FunctionConfiguration;
use crate::service::Service;
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Test,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let suites = files::load(&command)?;
    let cases = files::select(&command, &suites)?;
    check(&command, &directories, &cases)?;
    let jobs = match command.jobs {
        Some(jobs) => jobs.get(),
        None => std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    };
    let service = Arc::new(Service::open(directories.clone())?);
    let progress = Arc::new(ProgressDisplay::beside_a_log(command.choice.quiet));
    let names = suites.iter().map(LoadedSuite::name).collect();
    let mut results = Results::new(names, &cases, &command);
    // After the service, which makes the directories.
    let store = cases
        .iter()
        .any(SelectedCase::needs_store)
        .then(|| LayerStore::open(&directories, service.region()))
        .transpose()?;
    let transformer = Arc::new(Transformer::default());
    let testing = async {
        let display = Arc::clone(&progress) as Display;
        let platform = command.choice.platform();
        let stage = Stage::set(&service, store.as_ref(), &cases, &platform, display).await;
        progress.finish();
        let groups = files::groups(&suites, &cases);
        let runner = Arc::new(Runner::new(
            Arc::clone(&service),
            stage?,
            Arc::clone(&transformer),
            jobs,
        ));
        run::all(&runner, cases, groups, |number, outcome| {
            results.add(number, outcome)
        })
        .await
    };
    let tested = tokio::select! {
        tested = testing => tested,
        error = interrupted() => Err(error),
    };
    progress.finish();
    results.finish_progress();
    // Those that still run are nobody's any more.
    transformer.stop();
    service.shutdown().await;
    if let Some(Err(refusal)) = store.map(|store| store.collect()) {
        output::diagnostic(&format!("warning: layers stay in the store: {refusal}"));
    }
    tested?;
    conclude(&command, &suites, results)
}

/// What can be said before anything runs.
fn check(
    command: &Test,
    directories: &StateDirectories,
    cases: &[SelectedCase],
) -> Result<(), CommandError> {
    if let Some(path) = &command.junit {
        check_file(path)?;
    }
    let most = cases.iter().map(|case| &case.layers);
    if let Some(layers) = most.max_by_key(|layers| layers.len()) {
        extra_layers::check(layers, command.strict)?;
    }
    if command.strict {
        let mut seen: Vec<&FunctionConfiguration> = vec![];
        for case in cases {
            let configuration = &case.case.function.configuration;
            if !seen.contains(&configuration) {
                refuse_unenforced(directories, configuration)?;
                seen.push(configuration);
            }
        }
    }
    Ok(())
}

/// Updates suites, prints, and finds the status.
fn conclude(
    command: &Test,
    suites: &[LoadedSuite],
    mut results: Results,
) -> Result<ExitStatus, CommandError> {
    if command.update {
        for (number, suite) in suites.iter().enumerate() {
            let edits = results.edits(number);
            if edits.is_empty() {
                continue;
            }
            match suite.update(&edits) {
                Ok(()) => output::diagnostic(&format!(
                    "{}: {} updated",
                    suite.name(),
                    text::count(edits.len(), "expectation")
                )),
                Err(error) => {
                    output::diagnostic(&format!("{} is not updated: {error}", suite.name()));
                    results.not_updated(number);
                }
            }
        }
    }
    if let Some(path) = &command.junit {
        std::fs::write(path, junit::document(&results)?).map_err(|error| {
            CommandError::Host(format!("cannot write {}: {error}", path.display()))
        })?;
    }
    match command.output {
        TestFormat::Text => output::line(&text::summary(&results))?,
        TestFormat::Json => output::json_document(&json::document(&results))?,
        TestFormat::Junit => output::line(junit::document(&results)?.trim_end())?,
    }
    Ok(if results.count(Verdict::Failed) == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::FunctionError
    })
}
