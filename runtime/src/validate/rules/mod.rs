//! The checks, by what they are about. Each is a function from what is looked at to
//! what is wrong.

mod acceptance;
mod client;
mod directories;
mod entry_point;
mod extensions;
mod settings;

use lambent_images::{Image, Result};

pub(crate) use self::acceptance::too_large;

use super::{Finding, Subject};

/// Those that need no layer.
pub(super) fn of_documents(image: &Image) -> Vec<Finding> {
    let mut findings = acceptance::of_documents(image);
    findings.extend(settings::check(image));
    findings
}

/// Whether the entry point can be executed.
pub(super) fn of_entry_point(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    entry_point::check(subject)
}

/// Those about what is started, and whether it takes events.
pub(super) fn of_start(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = of_entry_point(subject)?;
    findings.extend(client::check(subject)?);
    Ok(findings)
}

/// All of them, in the order of what they are about.
pub(super) fn all(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = of_documents(subject.image);
    findings.extend(acceptance::of_files(subject));
    findings.extend(of_entry_point(subject)?);
    findings.extend(directories::check(subject));
    findings.extend(client::check(subject)?);
    findings.extend(extensions::check(subject));
    Ok(findings)
}
