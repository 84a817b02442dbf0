//! `lambent validate --explain CODE`.

use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use crate::validate::{RULES, Rule, rule};

pub(super) fn run(code: &str) -> Result<ExitStatus, CommandError> {
    if code == "all" {
        let rows: Vec<_> = RULES
            .iter()
            .map(|rule| [rule.code, &rule.severity.to_string(), rule.title].map(str::to_owned))
            .collect();
        for line in output::table(&rows) {
            output::line(&line)?;
        }
        return Ok(ExitStatus::Success);
    }
    let found = rule(code).ok_or_else(|| {
        CommandError::Usage(format!(
            "there is no rule \"{}\"; --explain all lists them",
            code.escape_debug()
        ))
    })?;
    for line in lines(found) {
        output::line(&line)?;
    }
    Ok(ExitStatus::Success)
}

fn lines(rule: &Rule) -> Vec<String> {
    let mut lines = vec![
        format!("{}[{}]: {}", rule.severity, rule.code, rule.title),
        String::new(),
        rule.why.to_owned(),
        String::new(),
    ];
    if let Some(lambda) = rule.lambda {
        lines.push(format!("Lambda says: {lambda}"));
    }
    lines.push(format!("Mend: {}", rule.mend));
    lines
}
