//! A report as JSON; those of several images are an array of such objects.

use serde_json::{Value, json};

use super::report::Report;
use crate::validate::Severity;

/// Changes when a script that reads the JSON would have to.
const JSON_VERSION: u32 = 1;

/// `version`, `image`, `digest`, the numbers of each severity, and `findings`; `error` says
/// why there are none if the image could not be read.
pub(super) fn document(report: &Report) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|(finding, allowed)| {
            json!({
                "code": finding.rule.code,
                "severity": finding.severity,
                "title": finding.rule.title,
                "message": finding.message,
                "lambda": finding.rule.lambda,
                "log": finding.log,
                "layer": finding.layer.map(|layer| layer.to_string()),
                "path": finding.path.as_ref().map(|path| path.to_string_lossy()),
                "mend": finding.rule.mend,
                "allowed": allowed,
            })
        })
        .collect();
    json!({
        "version": JSON_VERSION,
        "image": report.image,
        "digest": report.digest,
        "error": report.error,
        "errors": report.errors(),
        "warnings": report.count(Severity::Warning),
        "notes": report.count(Severity::Note),
        "findings": findings,
    })
}
