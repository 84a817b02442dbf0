//! Reports as SARIF 2.1.0, which code scanning reads: one run, whatever the number of
//! images.
//!
//! The image is the artifact; a file in it is a logical location, since no file of
//! a checkout corresponds to it. An image that could not be read is no result but
//! a notification, and the run is then no success.

use serde_json::{Value, json};

use super::report::Report;
use crate::validate::{Finding, RULES, Rule};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn document(reports: &[Report]) -> Value {
    let rules: Vec<_> = RULES.iter().map(|rule| describe(rule)).collect();
    let of_one = |report: &Report| -> Vec<Value> {
        let findings = report.findings.iter();
        findings
            .map(|(finding, allowed)| result(report, finding, allowed.as_deref()))
            .collect()
    };
    let results: Vec<_> = reports.iter().flat_map(of_one).collect();
    let unread: Vec<_> = reports.iter().filter_map(notification).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "lambent",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "invocations": [{
                "executionSuccessful": unread.is_empty(),
                "toolExecutionNotifications": unread,
            }],
            "results": results,
        }],
    })
}

/// That an image could not be read, if it was not.
fn notification(report: &Report) -> Option<Value> {
    let error = report.error.as_ref()?;
    Some(json!({
        "level": "error",
        "message": {"text": error},
        "locations": [physical(report)],
    }))
}

/// Where the image is.
fn physical(report: &Report) -> Value {
    json!({"physicalLocation": {"artifactLocation": {"uri": uri(&report.image)}}})
}

fn describe(rule: &Rule) -> Value {
    json!({
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.mend},
        // The three words are SARIF's own levels.
        "defaultConfiguration": {"level": rule.severity},
    })
}

fn result(report: &Report, finding: &Finding, allowed: Option<&str>) -> Value {
    let mut location = physical(report);
    if let Some(path) = &finding.path {
        location["logicalLocations"] = json!([{
            "fullyQualifiedName": path.to_string_lossy(),
            "kind": "resource",
        }]);
    }
    let message = format!("{}: {}", finding.rule.title, finding.message);
    let message = std::iter::once(&message).chain(&finding.log);
    let message: Vec<_> = message.map(String::as_str).collect();
    let mut result = json!({
        "ruleId": finding.rule.code,
        "level": finding.severity,
        "message": {"text": message.join("\n")},
        "locations": [location],
        "partialFingerprints": {"lambent/v1": fingerprint(finding)},
    });
    if let Some(layer) = finding.layer {
        result["properties"] = json!({"layer": layer.to_string()});
    }
    if let Some(reason) = allowed {
        result["suppressions"] = json!([{"kind": "external", "justification": reason}]);
    }
    result
}

/// What stays the same when the image is built again.
fn fingerprint(finding: &Finding) -> String {
    let path = finding.path.as_ref();
    let path = path.map_or_else(String::new, |path| path.to_string_lossy().into_owned());
    format!("{}:{path}", finding.rule.code)
}

/// The image's name as a relative reference: no character that a URI gives a
/// meaning, and no colon before a slash.
fn uri(image: &str) -> String {
    percent_encoding::utf8_percent_encode(image, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2F", "/")
        .replace("%2E", ".")
        .replace("%2D", "-")
        .replace("%5F", "_")
}
