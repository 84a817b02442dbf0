//! [`Rule`]: something that Lambda asks of an image.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Lambda refuses the image, or no function starts from it.
    Error,
    /// It is likely to fail, or is not what was meant.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A rule. Its code is stable: scripts and allow lists know it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) code: &'static str,
    /// How bad it is, where a finding does not say otherwise.
    pub(crate) severity: Severity,
    /// What is wrong, in a few words.
    pub(crate) title: &'static str,
    /// What Lambda answers or logs; `None` where it says nothing.
    pub(crate) lambda: Option<&'static str>,
    /// Why that is so, and how people come to it.
    pub(crate) why: &'static str,
    /// What to do.
    pub(crate) mend: &'static str,
}
