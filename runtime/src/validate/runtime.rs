//! Whether zip functions can run on an image: its entry point gets their handler, and
//! their code and layers cover `/var/task` and `/opt`.

use std::path::Path;

use lambent_images::{Image, ImageFiles, Result};

use super::catalogue::{
    ENTRY_POINT_NOT_EXECUTABLE, ENTRY_POINT_NOT_FOUND, INTERPRETER_NOT_FOUND,
    RUNTIME_CLIENT_MISSING,
};
use super::{Finding, Rule, Severity, Subject, rules};
use crate::model::{FunctionConfiguration, ImageConfig, TASK_ROOT};

/// What functions bring themselves.
const BROUGHT: [&str; 2] = [TASK_ROOT, "/opt"];

/// What no function can do without, if it is where functions bring nothing.
const NEEDED: [&Rule; 3] = [
    &ENTRY_POINT_NOT_FOUND,
    &ENTRY_POINT_NOT_EXECUTABLE,
    &INTERPRETER_NOT_FOUND,
];

/// Errors are what keeps all functions from starting, warnings what keeps those from it
/// that do not bring what is missing.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn validate_runtime(image: &Image, files: &ImageFiles) -> Result<Vec<Finding>> {
    let function = FunctionConfiguration {
        image_config: ImageConfig {
            // Any handler: whether there is one, functions know.
            command: Some(vec!["index.handler".to_owned()]),
            working_directory: Some(TASK_ROOT.to_owned()),
            ..ImageConfig::default()
        },
        ..FunctionConfiguration::default()
    };
    let subject = Subject {
        image,
        files,
        function: &function,
    };
    let findings = rules::of_start(&subject)?.into_iter();
    Ok(findings.filter_map(judged).collect())
}

fn judged(finding: Finding) -> Option<Finding> {
    let is_brought = |path: &Path| BROUGHT.iter().any(|place| path.starts_with(place));
    if NEEDED.contains(&finding.rule) {
        return match finding.path.as_deref() {
            Some(path) if is_brought(path) => None,
            Some(_) => Some(finding),
            // A directory of PATH may be a layer's.
            None => Some(finding.with(Severity::Warning)),
        };
    }
    (finding.rule == &RUNTIME_CLIENT_MISSING).then(|| finding.with(Severity::Warning))
}
