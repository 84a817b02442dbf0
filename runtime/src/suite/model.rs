//! A suite, its cases, and what they expect.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::configuration::Place;
use crate::model::{ClientContext, CognitoIdentity, FunctionConfiguration, TraceId};

/// A suite as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suite {
    pub(crate) cases: Vec<Case>,
    /// What has no effect here, to be said once.
    pub(crate) warnings: Vec<String>,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) form: Form,
    pub(crate) function: Function,
    pub(crate) start: Start,
    /// Invocations, each of which has to fit.
    pub(crate) repeat: u32,
    /// How many of them at a time, each in an environment of its own.
    pub(crate) concurrency: u32,
    pub(crate) event: Event,
    pub(crate) expectations: Vec<Expectation>,
}

/// Whose words a case is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lambent's.
    Own,
    /// Those of AWS's containerized test runner.
    Aws,
}

/// What runs; paths are as in the file, relative to its directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Function {
    /// An image reference, unless the command line has one.
    pub(crate) image: Option<String>,
    /// What is mounted over `/var/task`, unless the command line has that.
    pub(crate) task_root: Option<String>,
    /// As the command line has them.
    pub(crate) layers: Vec<String>,
    pub(crate) configuration: FunctionConfiguration,
}

/// What an invocation finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// A new environment, for each invocation.
    #[default]
    Cold,
    /// One that is initialised: that of the warm case before it with the same function.
    Warm,
}

/// What a function gets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Event {
    /// JSON.
    pub(crate) payload: Bytes,
    pub(crate) client_context: Option<ClientContext>,
    pub(crate) cognito_identity: Option<CognitoIdentity>,
    /// An X-Ray header; else a new one.
    pub(crate) trace: Option<TraceId>,
}

/// Something that has to hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expectation {
    /// Where it is written.
    pub(crate) place: Place,
    pub(crate) check: Check,
    /// A jq filter for what came; it has one output. Of AWS's form the first counts that
    /// is not null.
    pub(crate) transform: Option<String>,
    /// Where the text of what is expected is, in characters of the file, if it can be
    /// replaced there.
    pub(crate) source: Option<Range<usize>>,
}

/// What has to hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Check {
    /// The function answered, whatever it was.
    Succeeds,
    /// The response equals this.
    Response(Value),
    /// The response has this, and may have more.
    Contains(Value),
    /// The function failed, and the error has this type and message, and what else this
    /// names. Of AWS's form: it equals this.
    Error(Value),
    /// The function failed, and the error has this.
    ErrorContains(Value),
    /// The function failed with this `errorType`.
    ErrorType(Value),
    /// The content type, as AWS's runner works it out.
    ContentType(String),
    /// The log has this.
    Log(String),
    MaxDuration(Duration),
    MaxInit(Duration),
    /// In MB, as REPORT has it.
    MaxMemory(u64),
    /// Whether the CPU's limit held the function up.
    Throttled(bool),
    ColdStart(bool),
}
