//! What goes over the socket.

use serde::{Deserialize, Serialize};

/// `GET`: [`ServiceStatus`].
pub(crate) const STATUS: &str = "/status";
/// `GET`: [`LogRecord`]s, one JSON object a line. Query: `function`, `since` (ms
/// since the epoch), `follow` (`true`).
pub(crate) const LOGS: &str = "/logs";
/// `POST`: the service begins to end.
pub(crate) const STOP: &str = "/stop";

/// A service at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceStatus {
    /// Names it among those that run.
    pub(crate) service: String,
    pub(crate) pid: u32,
    pub(crate) endpoint: String,
    pub(crate) uptime_seconds: u64,
    /// Asynchronous events that wait or run.
    pub(crate) asynchronous_events: usize,
    pub(crate) functions: Vec<FunctionStatus>,
}

/// A function at this moment; the counts are since the service started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionStatus {
    pub(crate) function_name: String,
    pub(crate) memory_size_mb: u32,
    pub(crate) invocations: u64,
    pub(crate) errors: u64,
    pub(crate) throttles: u64,
    pub(crate) cold_starts: u64,
    pub(crate) environments: Vec<Environment>,
}

/// An execution environment at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Environment {
    pub(crate) id: u64,
    pub(crate) version: String,
    pub(crate) state: EnvironmentState,
    /// Whether provisioned concurrency keeps it.
    pub(crate) provisioned: bool,
    /// How long it has been idle.
    pub(crate) idle_seconds: Option<u64>,
    pub(crate) age_seconds: u64,
    pub(crate) invocations: u64,
    pub(crate) max_memory_used_mb: u64,
    pub(crate) tmp_used_mb: u64,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum EnvironmentState {
    /// Its INIT, ahead of invocations.
    Initialising,
    /// An invocation.
    Busy,
    Idle,
}

/// An answer to [`LOGS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LogRecord {
    /// A line.
    Line {
        /// RFC 3339 with milliseconds, UTC.
        time: String,
        function: String,
        /// What is no UTF-8 is replaced.
        message: String,
    },
    /// So many lines were overwritten before they could be sent.
    Lost(u64),
}
