//! Events of environments, as log lines on standard error.

use crate::telemetry::{Event, Sink, log_lines};

/// Prints what Lambda would log.
#[derive(Debug)]
pub(super) struct StandardError;

impl Sink for StandardError {
    fn emit(&self, event: &Event) {
        super::output::log(&log_lines(event));
    }
}

/// Prints nothing; the log is in each result.
#[derive(Debug)]
pub(super) struct Quiet;

impl Sink for Quiet {
    fn emit(&self, _event: &Event) {}
}
