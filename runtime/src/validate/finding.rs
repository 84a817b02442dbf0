//! [`Finding`]: an image breaks a rule.

use std::path::{Path, PathBuf};

use lambent_images::Digest;

use super::{Rule, Severity};

/// A rule that an image breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: &'static Rule,
    pub(crate) severity: Severity,
    /// What was found, in one line.
    pub(crate) message: String,
    /// The blob of the layer that it is in.
    pub(crate) layer: Option<Digest>,
    /// The file that it is about, in the image.
    pub(crate) path: Option<PathBuf>,
    /// What the function had logged last, a line each; harmless on a terminal.
    pub(crate) log: Vec<String>,
}

impl Finding {
    /// A finding about the image as a whole.
    pub(crate) fn new(rule: &'static Rule, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity,
            message: message.into(),
            layer: None,
            path: None,
            log: vec![],
        }
    }

    /// About this file.
    pub(crate) fn at(self, path: impl AsRef<Path>) -> Self {
        Self {
            path: Some(path.as_ref().to_owned()),
            ..self
        }
    }

    /// In this layer.
    pub(crate) fn in_layer(self, layer: Option<Digest>) -> Self {
        Self { layer, ..self }
    }

    /// With the end of a log.
    pub(crate) fn with_log(self, log: Vec<String>) -> Self {
        Self { log, ..self }
    }

    /// Worse or better than usual.
    pub(crate) fn with(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}

/// A name from an image as text that moves no cursor.
pub(super) fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().escape_debug().to_string()
}
