//! What Lambda starts beside the runtime.

use std::path::Path;

use lambent_images::{ImageFileKind, Permission};

use super::super::catalogue::EXTENSION_NOT_EXECUTABLE;
use super::super::finding::shown;
use super::super::subject::permits;
use super::super::{Finding, Subject};

/// Where extensions are.
pub(super) const EXTENSIONS: &str = "/opt/extensions";

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    subject.files.visit(EXTENSIONS, &mut |file| {
        let is_extension = file.path.parent() == Some(Path::new(EXTENSIONS));
        if is_extension && file.kind == ImageFileKind::File && !permits(file, Permission::Execute) {
            let message = format!(
                "{} has mode {:03o} and owner {}",
                shown(&file.path),
                file.mode,
                file.uid
            );
            findings.push(
                Finding::new(&EXTENSION_NOT_EXECUTABLE, message)
                    .at(&file.path)
                    .in_layer(subject.layer_of(file)),
            );
        }
    });
    findings
}
