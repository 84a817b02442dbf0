//! An event at its moment, with the log lines that it makes.

use std::cell::OnceCell;
use std::time::SystemTime;

use super::{Event, json_log_lines, log_lines};
use crate::model::{FunctionConfiguration, FunctionName};

/// Something has happened in an environment. Everybody who hears of it gets the same
/// moment, and the same log lines, which are written once.
#[derive(Debug)]
pub struct Occurrence<'a> {
    event: &'a Event,
    at: SystemTime,
    function: &'a FunctionConfiguration,
    lines: OnceCell<Vec<u8>>,
}

impl<'a> Occurrence<'a> {
    /// An event that happens now, of this function.
    pub fn now(event: &'a Event, function: &'a FunctionConfiguration) -> Self {
        Self {
            event,
            at: SystemTime::now(),
            function,
            lines: OnceCell::new(),
        }
    }

    /// What it is.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// To which function.
    pub fn function(&self) -> &'a FunctionName {
        &self.function.function_name
    }

    /// When it happened.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Its lines in the function's log, each ending in a newline.
    pub fn log_lines(&self) -> &[u8] {
        self.lines
            .get_or_init(|| log_lines(self.at, self.event, self.function.logging))
    }

    /// The same as JSON, whatever the form of the log.
    pub fn json_log_lines(&self) -> Vec<u8> {
        json_log_lines(self.at, self.event, self.function.logging)
    }
}
