//! `lambent doctor`: what this host enforces and what not, and what mends it.

use serde_json::{Value, json};

use super::args::{Doctor, OutputFormat};
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use crate::doctor::{Asked, Facts, Finding, Status, examine, probe};
use crate::state::StateDirectories;

/// Changes when a script that reads the JSON would have to.
const JSON_VERSION: u32 = 1;

pub(super) fn run(
    command: &Doctor,
    directories: &StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let facts = ask(directories)?;
    let findings = examine(&facts, Asked::Everything);
    match command.output {
        OutputFormat::Json => output::json_document(&as_json(&facts, &findings))?,
        OutputFormat::Text => {
            for line in as_text(&findings) {
                output::line(&line)?;
            }
        }
    }
    Ok(if functions_run(&findings) {
        ExitStatus::Success
    } else {
        ExitStatus::Host
    })
}

/// Facts by trying everything.
pub(super) fn ask(directories: &StateDirectories) -> Result<Facts, CommandError> {
    probe::ask(directories).map_err(|error| CommandError::Host(format!("probe this host: {error}")))
}

fn functions_run(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.status != Status::Fatal)
}

fn gaps(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| finding.is_gap())
}

/// `version`, `functionsRun`, `gaps` (a number), `host` and `findings`.
fn as_json(facts: &Facts, findings: &[Finding]) -> Value {
    json!({
        "version": JSON_VERSION,
        "functionsRun": functions_run(findings),
        "gaps": gaps(findings).count(),
        "host": {
            "kernel": facts.kernel,
            "cgroups": facts.cgroups.layout,
            "place": facts.place,
        },
        "findings": findings,
    })
}

/// A line for each check, then what the gaps mean, then the verdict.
fn as_text(findings: &[Finding]) -> Vec<String> {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            [
                finding.status.word().to_owned(),
                finding.id.title().to_owned(),
                finding.found.clone(),
            ]
        })
        .collect();
    let mut lines = output::table(&rows);
    let mut told: Vec<&Finding> = vec![];
    for finding in gaps(findings) {
        lines.push(String::new());
        lines.push(format!("{}: {}", finding.id.title(), finding.status.word()));
        if let Some(meaning) = &finding.meaning {
            lines.push(format!("  means   {meaning}"));
        }
        if let Some(remedy) = &finding.remedy {
            // One command often mends several gaps.
            let same = told.iter().find(|told| told.remedy == finding.remedy);
            lines.push(match same {
                Some(same) => format!("  mend    as for {}", same.id.title()),
                None => format!("  mend    {remedy}"),
            });
        }
        told.push(finding);
    }
    lines.push(String::new());
    lines.push(verdict(findings));
    lines
}

fn verdict(findings: &[Finding]) -> String {
    let count = match gaps(findings).count() {
        0 => return "Functions run here as on Lambda.".to_owned(),
        1 => "1 gap".to_owned(),
        count => format!("{count} gaps"),
    };
    if functions_run(findings) {
        format!("Functions run here, with {count} as above.")
    } else {
        format!("No function runs here: {count} as above.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Check;

    fn finding(status: Status) -> Finding {
        Finding::gap(Check::Cpus, status, "1 CPU", "slower").mended_by("buy more".to_owned())
    }

    #[test]
    fn the_verdict_counts_gaps() {
        let fine = Finding::enforced(Check::Kernel, "Linux 6.18");
        for (findings, expected) in [
            (vec![fine.clone()], "Functions run here as on Lambda."),
            (
                vec![fine.clone(), finding(Status::Degraded)],
                "Functions run here, with 1 gap as above.",
            ),
            (
                vec![fine, finding(Status::Degraded), finding(Status::Fatal)],
                "No function runs here: 2 gaps as above.",
            ),
        ] {
            assert_eq!(as_text(&findings).last().unwrap(), expected);
        }
    }

    #[test]
    fn a_gap_is_told_with_what_it_means_and_what_mends_it() {
        assert_eq!(
            as_text(&[finding(Status::Degraded)]),
            [
                "degraded   CPUs   1 CPU",
                "",
                "CPUs: degraded",
                "  means   slower",
                "  mend    buy more",
                "",
                "Functions run here, with 1 gap as above.",
            ]
        );
    }

    #[test]
    fn what_mends_two_gaps_is_told_once() {
        let other = Finding {
            id: Check::Freezer,
            ..finding(Status::Degraded)
        };
        let lines = as_text(&[finding(Status::Degraded), other]);
        assert_eq!(lines[5], "  mend    buy more");
        assert_eq!(lines[9], "  mend    as for CPUs");
    }

    #[test]
    fn the_json_is_what_scripts_know() {
        let facts = Facts {
            kernel: "6.18".to_owned(),
            ..Facts::default()
        };
        assert_eq!(
            as_json(&facts, &[finding(Status::Degraded)]),
            json!({
                "version": 1,
                "functionsRun": true,
                "gaps": 1,
                "host": {"kernel": "6.18", "cgroups": "none", "place": "machine"},
                "findings": [{
                    "id": "cpus",
                    "status": "degraded",
                    "found": "1 CPU",
                    "meaning": "slower",
                    "remedy": "buy more",
                }],
            })
        );
    }
}
