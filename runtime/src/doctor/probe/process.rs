//! What a process may do to itself.

use std::io;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::process::PidfdFlags;

use super::super::facts::{Facts, Refusal, Tried};
use super::child::in_child;
use crate::sandbox::seccomp;
use crate::sys;

pub(super) fn probe(facts: &mut Facts) {
    facts.missing_calls = missing_calls();
    facts.seccomp = filter();
}

/// What the worker and the launcher call without an alternative.
fn missing_calls() -> Vec<String> {
    let openat2 = rustix::fs::openat2(
        CWD,
        "/",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    );
    let pidfd = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
    [
        (
            "pidfd_open (Linux 5.3)",
            pidfd.map(drop).map_err(io::Error::from),
        ),
        (
            "openat2 (Linux 5.6)",
            openat2.map(drop).map_err(io::Error::from),
        ),
        ("close_range (Linux 5.9)", sys::try_close_range()),
    ]
    .into_iter()
    .filter_map(|(name, result)| Some(format!("{name}: {}", result.err()?)))
    .collect()
}

/// Installs the filter of functions.
fn filter() -> Tried {
    let program = seccomp::compile(&seccomp::lambda_profile());
    let tried = in_child(|| {
        let install = || -> io::Result<()> {
            rustix::thread::set_no_new_privs(true)?;
            sys::install_seccomp_filter(&program)
        };
        Tried::of("install a system-call filter", install())
    });
    or_refused("install a system-call filter", tried)
}

/// A child that did not answer is a refusal too.
pub(super) fn or_refused(step: &str, tried: io::Result<Tried>) -> Tried {
    tried.unwrap_or_else(|error| Tried::Fails(Refusal::new(step, &error)))
}
