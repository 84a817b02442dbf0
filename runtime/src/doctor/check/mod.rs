//! From facts to findings. Pure: a host that cannot be had for a test is made up.
//!
//! Each check is a function from [`Facts`] (and what is asked for, where that
//! matters) to a [`Finding`]; a new one goes into [`examine`].

mod capacity;
mod cgroups;
mod files;
mod rights;
#[cfg(test)]
mod tests;

use super::facts::{Facts, Refusal, Tried};
use super::finding::{Check, Finding};
use crate::model::FunctionConfiguration;

pub(crate) use files::tmp_is_charged;

/// What the host is asked to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// Whatever Lambda lets a function configure.
    Everything,
    /// To run this function.
    Function(&'a FunctionConfiguration),
}

/// Everything that there is to say about a host.
pub(crate) fn examine(facts: &Facts, asked: Asked<'_>) -> Vec<Finding> {
    let mut findings = vec![rights::privileges(facts)];
    findings.extend(rights::user_namespaces(facts));
    findings.extend(rights::file_owners(facts));
    findings.extend([
        rights::kernel(facts),
        rights::namespaces(facts),
        rights::mounts(facts),
        rights::seccomp(facts),
        cgroups::hierarchy(facts),
        cgroups::memory_limit(facts),
        cgroups::swap(facts),
        capacity::host_memory(facts, asked),
        cgroups::cpu_limit(facts),
        capacity::cpus(facts, asked),
        cgroups::process_limit(facts),
        capacity::processes(facts),
        cgroups::freezer(facts),
        files::tmp_tools(facts, asked),
        files::tmp_size(facts, asked),
        files::store(facts),
        capacity::disk_space(facts, asked),
        files::root_file_system(facts),
        capacity::environments(facts),
    ]);
    findings
}

/// What a function would not get as on Lambda.
pub(crate) fn unenforced(facts: &Facts, function: &FunctionConfiguration) -> Vec<Finding> {
    let mut findings = examine(facts, Asked::Function(function));
    findings.retain(Finding::is_unenforced);
    findings
}

/// The finding for one attempt: what is `enforced` where it worked, and the gap
/// that a refusal makes.
fn judge(
    id: Check,
    tried: &Tried,
    enforced: impl Into<String>,
    gap: impl FnOnce(&Refusal) -> Finding,
) -> Finding {
    match tried {
        Tried::Untried => Finding::unknown(id),
        Tried::Works => Finding::enforced(id, enforced),
        Tried::Fails(refusal) => gap(refusal),
    }
}
