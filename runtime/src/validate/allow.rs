//! [`Allowance`]: a finding that somebody accepts, and why.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Finding, Rule, rule};

/// A rule that may be broken, everywhere or in one file, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowance {
    rule: &'static Rule,
    path: Option<PathBuf>,
    pub(crate) reason: String,
}

/// Why a line of an allow list is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AllowanceError {
    #[error(
        "\"{}\" has no reason: write CODE=REASON, or CODE:PATH=REASON for one file",
        .0.escape_debug()
    )]
    NoReason(String),
    #[error(
        "there is no rule \"{}\"; `lambent validate --explain all` lists them",
        .0.escape_debug()
    )]
    NoRule(String),
}

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Self, AllowanceError> {
        let (what, reason) = text
            .split_once('=')
            .map(|(what, reason)| (what.trim(), reason.trim()))
            .filter(|(_, reason)| !reason.is_empty())
            .ok_or_else(|| AllowanceError::NoReason(text.to_owned()))?;
        let (code, path) = match what.split_once(':') {
            Some((code, path)) => (code, Some(PathBuf::from(path))),
            None => (what, None),
        };
        Ok(Self {
            rule: rule(code).ok_or_else(|| AllowanceError::NoRule(code.to_owned()))?,
            path,
            reason: reason.to_owned(),
        })
    }
}

impl Allowance {
    /// Reads a file with one on each line; empty lines and those that begin with `#`
    /// are skipped.
    ///
    /// # Errors
    /// The first line that is none, with its number.
    pub(crate) fn list(text: &str) -> Result<Vec<Self>, (usize, AllowanceError)> {
        let lines = text.lines().map(str::trim).zip(1..);
        lines
            .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
            .map(|(line, number)| line.parse().map_err(|error| (number, error)))
            .collect()
    }

    /// Whether it is about this finding.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && (self.path.is_none() || self.path == finding.path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{IMAGE_INDEX, UNREADABLE_FILE};
    use super::*;

    #[test]
    fn a_reason_is_needed() {
        for (text, covers_index, covers_file, covers_other) in [
            ("image-index=we push with skopeo", true, false, false),
            ("unreadable-file = a key of the build", false, true, true),
            ("unreadable-file:/opt/key=is not used", false, true, false),
        ] {
            let allowance: Allowance = text.parse().unwrap();
            let index = Finding::new(&IMAGE_INDEX, "");
            let file = Finding::new(&UNREADABLE_FILE, "");
            assert_eq!(allowance.covers(&index), covers_index, "{text}");
            assert_eq!(
                allowance.covers(&file.clone().at("/opt/key")),
                covers_file,
                "{text}"
            );
            assert_eq!(
                allowance.covers(&file.at("/opt/other")),
                covers_other,
                "{text}"
            );
        }
        for text in ["image-index", "image-index=", "image-index= "] {
            let error = text.parse::<Allowance>().unwrap_err();
            assert_eq!(error, AllowanceError::NoReason(text.to_owned()));
        }
        assert!("nonsense=x".parse::<Allowance>().is_err());
    }

    #[test]
    fn lists_say_where_they_are_wrong() {
        let list = Allowance::list("# ours\n\nimage-index=we copy it\n").unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(Allowance::list("\nimage-index\n").unwrap_err().0, 2);
    }
}
