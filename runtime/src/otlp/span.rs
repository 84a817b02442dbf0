//! A part of an invocation's time, as OpenTelemetry has it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::SpanId;

/// What spans are about: OpenTelemetry's resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// `$LATEST` or a number.
    pub(crate) version: String,
    /// Its ARN, with the version if that is a number.
    pub(crate) arn: String,
    pub(crate) region: String,
    pub(crate) memory_bytes: u64,
}

/// Who caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request from outside.
    Server,
    /// The service itself.
    Internal,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
}

pub(super) type Attribute = (&'static str, Value);

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) function: Arc<Function>,
    pub(super) trace: [u8; 16],
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) start: SystemTime,
    /// Not before `start`.
    pub(super) end: SystemTime,
    pub(super) attributes: Vec<Attribute>,
    /// What went wrong, if anything did.
    pub(super) error: Option<String>,
}
