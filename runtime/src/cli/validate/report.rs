//! [`Report`]: what all forms of output show.

use super::{Examined, Extent};
use crate::validate::{Allowance, Finding, Rule, START_RULES, Severity};

/// The findings about one image, with those that somebody accepts.
pub(super) struct Report {
    /// The image, as its user named it.
    pub(super) image: String,
    pub(super) digest: Option<String>,
    /// Why it could not be read, which is no finding: there is nothing to judge.
    pub(super) error: Option<String>,
    /// Worst first; with the reason for which it is accepted.
    pub(super) findings: Vec<(Finding, Option<String>)>,
    extent: Extent,
}

impl Report {
    pub(super) fn new(image: &str, examined: Examined, allowances: &[Allowance]) -> Self {
        let reason = |finding: &Finding| {
            let mut covering = allowances.iter().filter(|one| one.covers(finding));
            covering.next().map(|one| one.reason.clone())
        };
        let findings = examined.findings.into_iter().map(|finding| {
            let reason = reason(&finding);
            (finding, reason)
        });
        Self {
            image: image.to_owned(),
            digest: examined.digest,
            error: None,
            findings: findings.collect(),
            extent: examined.extent,
        }
    }

    /// Of an image that is not there, damaged, or refused by who has it.
    pub(super) fn unread(image: &str, error: &str) -> Self {
        Self {
            image: image.to_owned(),
            digest: None,
            error: Some(error.to_owned()),
            findings: vec![],
            extent: Extent::Part,
        }
    }

    /// Whether an image that breaks this rule would have been found out.
    pub(super) fn has_tried(&self, rule: &Rule) -> bool {
        match self.extent {
            Extent::Part => self
                .findings
                .iter()
                .any(|(finding, _)| *finding.rule == *rule),
            Extent::Files => !START_RULES.contains(&rule),
            Extent::Start => true,
        }
    }

    /// How many findings of a severity nobody accepts.
    pub(super) fn count(&self, severity: Severity) -> usize {
        let open = self
            .findings
            .iter()
            .filter(|(_, allowed)| allowed.is_none());
        open.filter(|(finding, _)| finding.severity == severity)
            .count()
    }

    pub(super) fn errors(&self) -> usize {
        self.count(Severity::Error)
    }
}
