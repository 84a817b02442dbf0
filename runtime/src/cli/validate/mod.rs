//! `lambent validate`: would Lambda take the images, and would they run there?

mod explain;
mod json;
mod junit;
mod report;
mod sarif;
mod start;
mod text;

use std::sync::Arc;

use lambent_images::{ContentStore, ErrorKind, ImageReference, Progress, Surveyed, sizes};

use self::report::Report;
use super::args::{ImportChoice, LayerSource, ReportFormat, Validate};
use super::exit_status::{CommandError, ExitStatus};
use super::progress::ProgressDisplay;
use super::strict::refuse_unenforced;
use super::{extra_layers, output};
use crate::images::{Display, ImageRequest, ImageStore, find_or_survey, find_or_verify_and_import};
use crate::model::FunctionConfiguration;
use crate::service_error::ServiceError;
use crate::state::StateDirectories;
use crate::validate::{
    Allowance, Finding, Severity, Subject, of_layers, of_too_large, of_unusable, validate,
    validate_documents,
};

pub(super) async fn run(
    command: Validate,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    if let Some(code) = &command.explain {
        return explain::run(code);
    }
    let allowances = allowances(command.allow, &command.allow_file)?;
    let strict = command.function.other.strict;
    let layers = command.function.other.layer.clone();
    extra_layers::check_named(&layers)?;
    let wish = Wish {
        function: command.function.configuration()?,
        choice: command.choice,
        run: command.run,
        layers,
        allowances,
    };
    if command.run && strict {
        refuse_unenforced(&directories, &wish.function)?;
    }
    let mut reports = vec![];
    let mut worst = ExitStatus::Success;
    for image in &command.images {
        match wish.examine(&directories, image).await {
            Ok(examined) => {
                let report = Report::new(&shown(image), examined, &wish.allowances);
                if report.errors() > 0 {
                    worst = worst.max(ExitStatus::FunctionError);
                }
                reports.push(report);
            }
            // The others can be looked at nevertheless, and who reads only the report is
            // not to take this one for a good one.
            Err(CommandError::Image(reason))
                if command.images.len() > 1 || command.output != ReportFormat::Text =>
            {
                output::diagnostic(&format!("{}: {reason}", shown(image)));
                worst = worst.max(ExitStatus::Image);
                reports.push(Report::unread(&shown(image), &reason));
            }
            Err(error) => return Err(error),
        }
    }
    print(&reports, command.output)?;
    Ok(worst)
}

/// What is to be done with each image.
struct Wish {
    function: FunctionConfiguration,
    choice: ImportChoice,
    run: bool,
    /// What Lambda would not take; mounted where it is run.
    layers: Vec<LayerSource>,
    allowances: Vec<Allowance>,
}

impl Wish {
    /// Looks at an image, and starts it if that is asked for.
    async fn examine(
        &self,
        directories: &StateDirectories,
        image: &ImageReference,
    ) -> Result<Examined, CommandError> {
        let request = ImageRequest {
            reference: image.clone(),
            platform: self.choice.platform(),
            name: None,
        };
        let display = Arc::new(ProgressDisplay::new(self.choice.quiet));
        let function = self.function.clone();
        let way = if self.run {
            Way::Import
        } else {
            Way::Survey(self.allowances.clone())
        };
        let mut examined = examine(directories, &display, request, function, way).await?;
        if let Some(digest) = examined.digest.as_deref().filter(|_| self.run) {
            let function = self.function.clone();
            let started = start::start(directories, digest, function, &self.layers).await?;
            examined.findings.extend(started);
            examined.extent = Extent::Start;
        }
        examined.findings.extend(of_layers(self.layers.len()));
        examined.findings.sort_by_key(|finding| finding.severity);
        Ok(examined)
    }
}

/// How an image is looked at that is not in the store.
enum Way {
    /// It is kept there: who starts it needs all of it.
    Import,
    /// The headers of its layers are read, and nothing is kept; not even those, if it
    /// breaks a rule that nobody has allowed it to.
    Survey(Vec<Allowance>),
}

impl Way {
    fn find(
        &self,
        store: &ContentStore,
        request: &ImageRequest,
        progress: &dyn Progress,
    ) -> Result<Surveyed, ServiceError> {
        match self {
            Self::Import => {
                let image = find_or_verify_and_import(store, request, progress)?;
                let files = Some(store.files(&image)?);
                Ok(Surveyed { image, files })
            }
            Self::Survey(allowances) => find_or_survey(store, request, progress, &|image| {
                !is_refused(&validate_documents(image), allowances)
            }),
        }
    }
}

/// What looking at an image has shown.
struct Examined {
    /// Of its manifest; none if it could not be read.
    digest: Option<String>,
    findings: Vec<Finding>,
    extent: Extent,
}

/// How much of an image was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What was refused before all of it could be read.
    Part,
    /// All that is in it.
    Files,
    /// That, and how it starts.
    Start,
}

async fn examine(
    directories: &StateDirectories,
    display: &Arc<ProgressDisplay>,
    request: ImageRequest,
    function: FunctionConfiguration,
    way: Way,
) -> Result<Examined, CommandError> {
    let images = ImageStore::open(directories)?;
    let shown = Arc::clone(display) as Display;
    let work = images.run(shown, move |store, progress| {
        look(store, &request, &function, &way, progress)
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
    way: &Way,
    progress: &dyn Progress,
) -> Result<Examined, ServiceError> {
    let (image, files) = match way.find(store, request, progress) {
        Ok(Surveyed {
            image,
            files: Some(files),
        }) => (image, files),
        Ok(Surveyed { image, files: None }) => {
            return Ok(Examined {
                digest: Some(image.manifest_digest.to_string()),
                findings: validate_documents(&image),
                extent: Extent::Part,
            });
        }
        Err(ServiceError::Unusable(error)) => {
            let too_large = error.kind() == ErrorKind::ImageTooLarge;
            let finding = of_unusable(&error).ok_or(ServiceError::Unusable(error))?;
            // What takes the room is worth reading it once more.
            let sizes = too_large.then(|| sizes(&request.reference, &request.platform, progress));
            let finding = match sizes {
                Some(Ok(sizes)) => of_too_large(&sizes),
                Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                Some(Err(_)) | None => finding,
            };
            return Ok(Examined {
                digest: None,
                findings: vec![finding],
                extent: Extent::Part,
            });
        }
        Err(error) => return Err(error),
    };
    let subject = Subject {
        image: &image,
        files: &files,
        function,
    };
    Ok(Examined {
        digest: Some(image.manifest_digest.to_string()),
        findings: validate(&subject)?,
        extent: Extent::Files,
    })
}

/// Whether there is an error that nobody accepts.
fn is_refused(findings: &[Finding], allowances: &[Allowance]) -> bool {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors.any(|finding| !allowances.iter().any(|one| one.covers(finding)))
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

fn print(reports: &[Report], format: ReportFormat) -> Result<(), CommandError> {
    match format {
        ReportFormat::Text => {
            let read = reports.iter().filter(|report| report.error.is_none());
            for line in read.flat_map(text::lines) {
                output::line(&line)?;
            }
        }
        ReportFormat::Json => {
            let documents: Vec<_> = reports.iter().map(json::document).collect();
            match documents.as_slice() {
                [only] => output::json_document(only)?,
                all => output::json_document(&all.to_vec().into())?,
            }
        }
        ReportFormat::Sarif => output::json_document(&sarif::document(reports))?,
        ReportFormat::Junit => output::line(junit::document(reports)?.trim_end())?,
    }
    Ok(())
}

/// A reference as its user wrote it, harmless on a terminal.
fn shown(image: &ImageReference) -> String {
    image.to_string().escape_debug().to_string()
}
