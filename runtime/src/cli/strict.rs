//! `--strict`: refuse before anything runs what this host would not enforce.

use super::doctor::ask;
use super::exit_status::CommandError;
use crate::doctor::{Finding, unenforced};
use crate::model::FunctionConfiguration;
use crate::state::StateDirectories;

/// Tries everything, and names what is not enforced of what a function asks for.
pub(super) fn refuse_unenforced(
    directories: &StateDirectories,
    function: &FunctionConfiguration,
) -> Result<(), CommandError> {
    let facts = ask(directories)?;
    let gaps = unenforced(&facts, function);
    if gaps.is_empty() {
        return Ok(());
    }
    Err(CommandError::Host(refusal(&gaps)))
}

fn refusal(gaps: &[Finding]) -> String {
    let mut lines = vec!["--strict: this host does not enforce what Lambda does".to_owned()];
    for gap in gaps {
        lines.push(format!("  {}: {}", gap.id.title(), gap.short()));
        if let Some(remedy) = &gap.remedy {
            lines.push(format!("    to mend it: {remedy}"));
        }
    }
    lines.join("\n")
}
