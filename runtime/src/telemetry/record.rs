//! The records of events, as JSON: what the forms of them have in common.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Api, Category, Dropped};
use crate::model::{
    ExtensionInfo, FunctionName, InitKind, InitializationType, Report, RequestId, Status, Version,
};

/// An event as an object on one line.
pub(super) fn line(at: SystemTime, kind: &str, record: &Value) -> String {
    let time = time(at);
    format!("{{\"time\":\"{time}\",\"type\":\"{kind}\",\"record\":{record}}}")
}

/// A time as Lambda writes it.
pub(super) fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An object as it is, anything else as text.
pub(super) fn structured(line: &[u8]) -> Value {
    serde_json::from_slice(line)
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| String::from_utf8_lossy(line).into())
}

pub(super) fn start(request_id: RequestId, version: Version) -> Value {
    json!({"requestId": request_id.to_string(), "version": version.to_string()})
}

fn init_start(kind: InitKind) -> Value {
    let (initialization, phase) = phase(kind);
    json!({"initializationType": initialization.as_str(), "phase": phase})
}

/// The same, of a function.
pub(super) fn init_start_of(kind: InitKind, name: &FunctionName, version: Version) -> Value {
    let mut record = init_start(kind);
    record["functionName"] = name.as_str().into();
    record["functionVersion"] = version.to_string().into();
    record
}

pub(super) fn init_runtime_done(kind: InitKind, status: &Status) -> Value {
    with_status(init_start(kind), status)
}

pub(super) fn init_report(kind: InitKind, duration: Duration, status: &Status) -> Value {
    let mut record = init_start(kind);
    record["metrics"] = json!({"durationMs": milliseconds(duration)});
    with_status(record, status)
}

/// Why there is an INIT, and where.
fn phase(kind: InitKind) -> (InitializationType, &'static str) {
    match kind {
        InitKind::OnDemand => (InitializationType::OnDemand, "init"),
        InitKind::Suppressed => (InitializationType::OnDemand, "invoke"),
        InitKind::Provisioned => (InitializationType::ProvisionedConcurrency, "init"),
    }
}

/// The type of the event that tells of a subscription.
pub(super) fn subscribed_type(api: Api) -> &'static str {
    match api {
        Api::Telemetry => "platform.telemetrySubscription",
        Api::Logs => "platform.logsSubscription",
    }
}

pub(super) fn subscribed(name: &str, types: &[Category]) -> Value {
    let types: Vec<_> = types.iter().map(|category| category.as_str()).collect();
    json!({"name": name, "state": "Subscribed", "types": types})
}

pub(super) fn extension(info: &ExtensionInfo) -> Value {
    let events: Vec<_> = info.events.iter().map(ToString::to_string).collect();
    let mut record = json!({
        "name": info.name,
        "state": info.state.to_string(),
        "events": events,
    });
    if let Some(error_type) = &info.error_type {
        record["errorType"] = error_type.as_str().into();
    }
    record
}

pub(super) fn runtime_done(request_id: RequestId, duration: Duration, status: &Status) -> Value {
    let done = json!({
        "requestId": request_id.to_string(),
        "metrics": {"durationMs": milliseconds(duration)},
    });
    with_status(done, status)
}

pub(super) fn report(request_id: RequestId, report: &Report) -> Value {
    let mut metrics = json!({
        "durationMs": milliseconds(report.duration),
        "billedDurationMs": report.billed_duration_ms(),
        "memorySizeMB": report.memory_size.get(),
        "maxMemoryUsedMB": report.max_memory_used_mb(),
    });
    if let Some(init) = report.init_duration {
        metrics["initDurationMs"] = milliseconds(init).into();
    }
    let record = json!({"requestId": request_id.to_string(), "metrics": metrics});
    with_status(record, &report.status)
}

/// Of what a subscriber has lost.
pub(super) fn logs_dropped(dropped: Dropped) -> Value {
    json!({
        "droppedBytes": dropped.bytes,
        "droppedRecords": dropped.records,
        "reason": "Some logs were dropped because the downstream consumer is slower than the logs \
                   production rate",
    })
}

fn with_status(mut record: Value, status: &Status) -> Value {
    match status {
        Status::Success => record["status"] = "success".into(),
        Status::Timeout => record["status"] = "timeout".into(),
        Status::Error(error_type) => {
            record["status"] = "error".into();
            record["errorType"] = error_type.as_str().into();
        }
    }
    record
}

/// Hundredths of a millisecond, as in text lines.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}
