//! The events of an execution environment.

use std::fmt;
use std::time::Duration;

use crate::model::{InitKind, Report, RequestId, Status, Version};

/// Something that happened, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// An INIT phase ended (`platform.initReport`). Lambda logs failures, and the end
    /// of those ahead of invocations.
    InitReport {
        /// Which INIT.
        kind: InitKind,
        /// How long it took.
        duration: Duration,
        /// How it ended.
        status: Status,
    },
    /// An invocation began (`platform.start`).
    Start {
        /// Of this request.
        request_id: RequestId,
        /// Which version of the function.
        version: Version,
    },
    /// The function wrote a line (`function`), without its newline.
    Function(Vec<u8>),
    /// An invocation ended (`platform.runtimeDone` and `platform.report`).
    Report {
        /// Of this request.
        request_id: RequestId,
        /// What it cost.
        report: Report,
        /// The caller gets an error, be it the function's own or Lambda's.
        failed: bool,
    },
    /// A request was turned away because too many ran already. Lambda counts it and
    /// logs nothing.
    Throttled,
}

/// Where events go. Called by the environment's own task, so nothing here may
/// block: a reader that does not read must not keep a time-out from passing.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Takes one event.
    fn emit(&self, event: &Event);

    /// Whether function lines are welcome now. Without room the function's pipe is
    /// left alone, and the function waits when that is full, as it would at any
    /// slow reader. What Lambda itself has to say comes all the same.
    fn has_room(&self) -> bool {
        true
    }
}
