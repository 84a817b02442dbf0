//! The events of an execution environment.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{Api, Category, Dropped, Occurrence};
use crate::model::{
    ExtensionInfo, FunctionName, InitKind, MemorySize, Report, RequestId, Status, TraceId, Version,
};

/// Something that happened, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// An INIT phase began (`platform.initStart`). Lambda's log of an image does not
    /// have it.
    InitStart {
        /// Which INIT.
        kind: InitKind,
        /// Of this function.
        function_name: FunctionName,
        /// Which version of it.
        version: Version,
        /// What the environment may use.
        memory_size: MemorySize,
        /// Names the environment.
        instance_id: String,
    },
    /// The runtime is initialised, or will not be (`platform.initRuntimeDone`).
    InitRuntimeDone {
        /// In which INIT.
        kind: InitKind,
        /// How it went.
        status: Status,
    },
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
        /// Its X-Ray header.
        trace_id: TraceId,
    },
    /// What became of an extension in INIT (`platform.extension`).
    Extension(ExtensionInfo),
    /// An extension has subscribed (`platform.telemetrySubscription`,
    /// `platform.logsSubscription`).
    Subscribed {
        /// To this interface.
        api: Api,
        /// Its name.
        name: String,
        /// What it gets, in its own order.
        types: Vec<Category>,
    },
    /// The function wrote a line (`function`), without its newline.
    Function(Vec<u8>),
    /// An extension wrote a line (`extension`), without its newline.
    ExtensionLine(Vec<u8>),
    /// The runtime is done with an invocation, or failed in it
    /// (`platform.runtimeDone`; Lambda's log has only failures).
    RuntimeDone {
        /// Of this request.
        request_id: RequestId,
        /// From handing out the event until the runtime asked for the next one.
        duration: Duration,
        /// How it went.
        status: Status,
        /// Bytes that the runtime has posted.
        produced_bytes: u64,
        /// Where the time went.
        spans: Vec<Span>,
        /// The invocation's X-Ray header.
        trace_id: TraceId,
    },
    /// The invocation ended without an answer of the function's own
    /// (`platform.fault` of the Logs API; Lambda's log says it in REPORT).
    Fault {
        /// Of this request.
        request_id: RequestId,
        /// Lambda's `errorMessage`.
        message: String,
        /// Lambda's `errorType`.
        error_type: &'static str,
    },
    /// An invocation ended (`platform.report`), which follows
    /// [`Event::RuntimeDone`] when extensions are done too.
    Report {
        /// Of this request.
        request_id: RequestId,
        /// What it cost.
        report: Report,
        /// The caller gets an error, be it the function's own or Lambda's.
        failed: bool,
        /// Where the time went that is not the runtime's.
        spans: Vec<Span>,
        /// The invocation's X-Ray header.
        trace_id: TraceId,
    },
    /// The environment's processes were stopped between invocations, or are about to
    /// go on. Lambda does not say so.
    Freezer {
        /// Which of them.
        frozen: bool,
        /// How long the kernel took for it.
        duration: Duration,
    },
    /// A subscriber did not take its events as fast as they came, or at all, and has
    /// lost so many (`platform.logsDropped`; subscribers are told in the place of what
    /// is lost, and Lambda's log has it as JSON only).
    LogsDropped(Dropped),
    /// A request was turned away because too many ran already. Lambda counts it and
    /// logs nothing.
    Throttled,
}

/// A part of an invocation's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which part.
    pub name: SpanName,
    /// When it began.
    pub start: SystemTime,
    /// How long it was.
    pub duration: Duration,
}

/// The parts that Lambda tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanName {
    /// From handing out the event until the runtime began to answer.
    ResponseLatency,
    /// The answer itself.
    ResponseDuration,
    /// From the answer until the runtime asked for the next event.
    RuntimeOverhead,
    /// From there until extensions had done so too.
    ExtensionOverhead,
}

impl SpanName {
    /// Lambda's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResponseLatency => "responseLatency",
            Self::ResponseDuration => "responseDuration",
            Self::RuntimeOverhead => "runtimeOverhead",
            Self::ExtensionOverhead => "extensionOverhead",
        }
    }
}

/// Where events go. Called by the environment's own task, so nothing here may
/// block: a reader that does not read must not keep a time-out from passing.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Takes one event.
    fn emit(&self, occurrence: &Occurrence<'_>);

    /// Takes a sentence of Lambent's own, which is no event of any function's.
    fn notice(&self, _message: &str) {}

    /// Whether function lines are welcome now. Without room the function's pipe is
    /// left alone, and the function waits when that is full, as it would at any
    /// slow reader. What Lambda itself has to say comes all the same.
    fn has_room(&self) -> bool {
        true
    }
}
