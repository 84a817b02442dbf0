//! A report for people.

use super::report::Report;
use crate::validate::Severity;

pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (finding, allowed) in &report.findings {
        let rule = finding.rule;
        lines.push(format!(
            "{}[{}]: {}: {}",
            finding.severity, rule.code, rule.title, finding.message
        ));
        if let Some(reason) = allowed {
            lines.push(format!("  allowed  {}", reason.escape_debug()));
            continue;
        }
        if let Some(layer) = finding.layer {
            lines.push(format!("  layer    {layer}"));
        }
        if let Some(lambda) = rule.lambda {
            lines.push(format!("  Lambda   {lambda}"));
        }
        let labels = std::iter::once("  log      ").chain(std::iter::repeat("           "));
        let log = labels.zip(&finding.log);
        lines.extend(log.map(|(label, line)| format!("{label}{line}")));
        lines.push(format!("  mend     {}", rule.mend));
        lines.push(String::new());
    }
    lines.push(verdict(report));
    lines
}

fn verdict(report: &Report) -> String {
    let count = |severity: Severity| match report.count(severity) {
        1 => format!("1 {severity}"),
        count => format!("{count} {severity}s"),
    };
    let counts = [Severity::Error, Severity::Warning, Severity::Note].map(count);
    let counts = counts.join(", ");
    let image = &report.image;
    if report.errors() > 0 {
        format!("{image}: Lambda would refuse it, or it would not start: {counts}")
    } else if report.findings.is_empty() {
        format!("{image}: Lambda takes it: nothing found")
    } else {
        format!("{image}: Lambda takes it: {counts}")
    }
}
