//! `lambent validate`: would Lambda take the image, and would it run there?

mod explain;
mod json;
mod junit;
mod report;
mod sarif;
mod start;
mod text;

use std::sync::Arc;

use lambent_images::{ContentStore, ImageReference, Progress};

use self::report::Report;
use super::args::{ReportFormat, Validate};
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use super::progress::ProgressDisplay;
use crate::images::{Display, ImageRequest, ImageStore, find_or_import};
use crate::model::FunctionConfiguration;
use crate::service_error::ServiceError;
use crate::state::StateDirectories;
use crate::validate::{Allowance, Finding, Subject, of_unusable, validate};

pub(super) async fn run(
    command: Validate,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    if let Some(code) = &command.explain {
        return explain::run(code);
    }
    let image = command
        .image
        .ok_or_else(|| CommandError::Usage("no image is named".to_owned()))?;
    let allowances = allowances(command.allow, &command.allow_file)?;
    let request = ImageRequest {
        reference: image.clone(),
        platform: command.choice.platform(),
        name: None,
    };
    let display = Arc::new(ProgressDisplay::new(command.choice.quiet));
    let function = command.function.configuration()?;
    let mut examined = examine(&directories, &display, request, function.clone()).await?;
    if let Some(digest) = examined.digest.as_deref().filter(|_| command.run) {
        let started = start::start(directories, digest, function).await?;
        examined.findings.extend(started);
        examined.findings.sort_by_key(|finding| finding.severity);
    }
    let report = Report::new(&shown(&image), examined, &allowances);
    print(&report, command.output)?;
    Ok(if report.errors() == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::FunctionError
    })
}

/// What looking at an image has shown.
struct Examined {
    /// Of its manifest; none if it could not be read.
    digest: Option<String>,
    findings: Vec<Finding>,
}

async fn examine(
    directories: &StateDirectories,
    display: &Arc<ProgressDisplay>,
    request: ImageRequest,
    function: FunctionConfiguration,
) -> Result<Examined, CommandError> {
    let images = ImageStore::open(directories)?;
    let shown = Arc::clone(display) as Display;
    let work = images.run(shown, move |store, progress| {
        look(store, &request, &function, progress)
    });
    let examined = tokio::select! {
        examined = work => examined,
        interrupted = super::interrupted() => {
            images.stop().await;
            display.clear();
            return Err(interrupted);
        }
    };
    display.clear();
    Ok(examined?)
}

fn look(
    store: &ContentStore,
    request: &ImageRequest,
    function: &FunctionConfiguration,
    progress: &dyn Progress,
) -> Result<Examined, ServiceError> {
    let image = match find_or_import(store, request, progress) {
        Ok(image) => image,
        Err(ServiceError::Unusable(error)) => {
            let finding = of_unusable(&error).ok_or(ServiceError::Unusable(error))?;
            return Ok(Examined {
                digest: None,
                findings: vec![finding],
            });
        }
        Err(error) => return Err(error),
    };
    let files = store.files(&image)?;
    let subject = Subject {
        image: &image,
        files: &files,
        function,
    };
    Ok(Examined {
        digest: Some(image.manifest_digest.to_string()),
        findings: validate(&subject)?,
    })
}

fn allowances(
    mut allowances: Vec<Allowance>,
    files: &[std::path::PathBuf],
) -> Result<Vec<Allowance>, CommandError> {
    for path in files {
        let usage = |error: String| CommandError::Usage(format!("{}{error}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(format!(": cannot be read: {error}")))?;
        let list =
            Allowance::list(&text).map_err(|(line, error)| usage(format!(":{line}: {error}")))?;
        allowances.extend(list);
    }
    Ok(allowances)
}

fn print(report: &Report, format: ReportFormat) -> Result<(), CommandError> {
    match format {
        ReportFormat::Text => {
            for line in text::lines(report) {
                output::line(&line)?;
            }
        }
        ReportFormat::Json => output::json_document(&json::document(report))?,
        ReportFormat::Sarif => output::json_document(&sarif::document(report))?,
        ReportFormat::Junit => output::line(junit::document(report)?.trim_end())?,
    }
    Ok(())
}

/// A reference as its user wrote it, harmless on a terminal.
fn shown(image: &ImageReference) -> String {
    image.to_string().escape_debug().to_string()
}
