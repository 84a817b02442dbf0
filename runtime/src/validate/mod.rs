//! What Lambda would say of an image: every rule at once, before anybody pushes it.
//!
//! | file | does |
//! |---|---|
//! | `rule`, `catalogue` | what a rule is, and all of them |
//! | `subject` | what rules look at: the image, its files, how it would be started |
//! | `program` | what a file says of itself: a script's interpreter, an ELF header |
//! | `rules/` | the checks, by what they are about |
//! | `refusal` | the finding that an image is which cannot even be read |
//! | `runtime` | the same, of an image that zip functions run on |
//! | `started` | the findings of an environment that was started, if it was |
//! | `allow` | findings that somebody accepts, with the reason |
//!
//! Nothing here is run, mounted or written.

mod allow;
mod catalogue;
mod finding;
mod program;
mod refusal;
mod rule;
mod rules;
mod runtime;
mod started;
mod subject;

use lambent_images::Image;

pub(crate) use self::allow::Allowance;
pub(crate) use self::catalogue::{RULES, rule};
pub(crate) use self::finding::Finding;
pub(crate) use self::program::{HEAD as PROGRAM_HEAD, Program};
pub(crate) use self::refusal::of_unusable;
pub(crate) use self::rule::{Rule, Severity};
pub(crate) use self::rules::too_large as of_too_large;
pub(crate) use self::runtime::validate_runtime;
pub(crate) use self::started::{START_RULES, of_start};
pub(crate) use self::subject::Subject;

/// What an image's documents alone show, whose layers were not read; worst first.
pub(crate) fn validate_documents(image: &Image) -> Vec<Finding> {
    let mut findings = rules::of_documents(image);
    let layers = image.layers.len();
    let bytes: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let message = format!("{layers} layers of {} MB were not downloaded", bytes >> 20);
    findings.push(Finding::new(&catalogue::LAYERS_NOT_READ, message));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// That Lambda refuses layers on functions of images, if there are some.
pub(crate) fn of_layers(count: usize) -> Option<Finding> {
    let named = match count {
        0 => return None,
        1 => "1 layer is".to_owned(),
        count => format!("{count} layers are"),
    };
    let message = format!("{named} named with --layer, which Lambda refuses for images");
    Some(Finding::new(&catalogue::LAYERS_OF_IMAGE, message))
}

/// Why the kernel does not execute an entry point that is there, as far as its files tell.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn not_executed(subject: &Subject<'_>) -> lambent_images::Result<Option<String>> {
    let findings = rules::of_entry_point(subject)?.into_iter();
    let mut errors = findings.filter(|finding| {
        finding.severity == Severity::Error && *finding.rule != catalogue::ENTRY_POINT_NOT_FOUND
    });
    Ok(errors.next().map(|finding| finding.message))
}

/// Everything that Lambda would refuse, or that would fail there; worst first.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn validate(subject: &Subject<'_>) -> lambent_images::Result<Vec<Finding>> {
    let mut findings = rules::all(subject)?;
    findings.sort_by_key(|finding| finding.severity);
    Ok(findings)
}
