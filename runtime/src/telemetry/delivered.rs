//! Events in the forms in which subscribers get them: the Telemetry API's, and the
//! Logs API's, which is older and says less.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::record::{self, line, milliseconds, time};
use super::{Category, Dropped, Event, Schema, Span};
use crate::model::{Status, TraceId};

/// An event that happened at `at`, as JSON on one line each, for a subscriber to
/// `types`. With `structured` a function writes JSON and says so (`LogFormat`).
pub(crate) fn delivered(
    at: SystemTime,
    event: &Event,
    schema: Schema,
    types: &[Category],
    structured: bool,
) -> Vec<Vec<u8>> {
    if !types.contains(&category(event)) {
        return vec![];
    }
    let records = match schema {
        Schema::Telemetry202207 | Schema::Telemetry202212 => {
            let structured = structured && schema == Schema::Telemetry202212;
            telemetry(event, structured).into_iter().collect()
        }
        Schema::Logs202008 | Schema::Logs202103 => logs(event, schema),
    };
    records
        .iter()
        .map(|(kind, record)| line(at, kind, record).into_bytes())
        .collect()
}

/// What a subscriber is told of events that it has lost.
pub(crate) fn logs_dropped(at: SystemTime, dropped: Dropped) -> Vec<u8> {
    line(at, "platform.logsDropped", &record::logs_dropped(dropped)).into_bytes()
}

fn category(event: &Event) -> Category {
    match event {
        Event::Function(_) => Category::Function,
        Event::ExtensionLine(_) => Category::Extension,
        _ => Category::Platform,
    }
}

type Record = (&'static str, Value);

fn telemetry(event: &Event, structured: bool) -> Option<Record> {
    let line = |line: &[u8]| {
        if structured {
            record::structured(line)
        } else {
            text(line)
        }
    };
    Some(match event {
        Event::InitStart {
            kind,
            function_name,
            version,
            memory_size,
            instance_id,
        } => {
            let mut record = record::init_start_of(*kind, function_name, *version);
            record["instanceId"] = instance_id.as_str().into();
            record["instanceMaxMemory"] = memory_size.get().into();
            ("platform.initStart", record)
        }
        Event::InitRuntimeDone { kind, status } => (
            "platform.initRuntimeDone",
            of_init(record::init_runtime_done(*kind, status), status),
        ),
        Event::InitReport {
            kind,
            duration,
            status,
        } => (
            "platform.initReport",
            of_init(record::init_report(*kind, *duration, status), status),
        ),
        Event::Extension(info) => ("platform.extension", record::extension(info)),
        Event::Subscribed { api, name, types } => (
            record::subscribed_type(*api),
            record::subscribed(name, types),
        ),
        Event::Start {
            request_id,
            version,
            trace_id,
        } => (
            "platform.start",
            traced(record::start(*request_id, *version), trace_id),
        ),
        Event::RuntimeDone {
            request_id,
            duration,
            status,
            produced_bytes,
            spans,
            trace_id,
        } => {
            let mut record = record::runtime_done(*request_id, *duration, status);
            record["metrics"]["producedBytes"] = (*produced_bytes).into();
            record["spans"] = spans.iter().map(span).collect();
            ("platform.runtimeDone", traced(record, trace_id))
        }
        Event::Report {
            request_id,
            report,
            spans,
            trace_id,
            ..
        } => {
            let mut record = record::report(*request_id, report);
            record["spans"] = spans.iter().map(span).collect();
            ("platform.report", traced(record, trace_id))
        }
        Event::Function(bytes) => ("function", line(bytes)),
        Event::ExtensionLine(bytes) => ("extension", line(bytes)),
        // Who has lost something is told so in its place.
        Event::Fault { .. } | Event::Freezer { .. } | Event::LogsDropped(_) | Event::Throttled => {
            return None;
        }
    })
}

fn logs(event: &Event, schema: Schema) -> Vec<Record> {
    match event {
        Event::Extension(info) => vec![("platform.extension", record::extension(info))],
        Event::Subscribed { api, name, types } => {
            vec![(
                record::subscribed_type(*api),
                record::subscribed(name, types),
            )]
        }
        Event::Start {
            request_id,
            version,
            ..
        } => vec![("platform.start", record::start(*request_id, *version))],
        Event::RuntimeDone {
            request_id, status, ..
        } if schema == Schema::Logs202103 => {
            // It has another word for what is not Lambda's own fault or time-out.
            let status = match status {
                Status::Success => "success",
                Status::Timeout => "timeout",
                Status::Error(_) => "failure",
            };
            let record = json!({"requestId": request_id.to_string(), "status": status});
            vec![("platform.runtimeDone", record)]
        }
        Event::Fault {
            message,
            error_type,
            ..
        } => vec![(
            "platform.fault",
            format!("{message}\n{error_type}\n").into(),
        )],
        Event::Report {
            request_id, report, ..
        } => {
            let id = request_id.to_string();
            let metrics = record::report(*request_id, report)["metrics"].take();
            vec![
                ("platform.end", json!({"requestId": id})),
                (
                    "platform.report",
                    json!({"requestId": id, "metrics": metrics}),
                ),
            ]
        }
        Event::Function(bytes) => vec![("function", text(bytes))],
        Event::ExtensionLine(bytes) => vec![("extension", text(bytes))],
        Event::InitStart { .. }
        | Event::InitRuntimeDone { .. }
        | Event::InitReport { .. }
        | Event::RuntimeDone { .. }
        | Event::Freezer { .. }
        | Event::LogsDropped(_)
        | Event::Throttled => vec![],
    }
}

fn text(line: &[u8]) -> Value {
    String::from_utf8_lossy(line).into()
}

/// Of an INIT that took too long, Lambda knows no error's type.
fn of_init(mut record: Value, status: &Status) -> Value {
    if *status == Status::Timeout {
        record["errorType"] = "Runtime.Unknown".into();
    }
    record
}

fn traced(mut record: Value, trace_id: &TraceId) -> Value {
    record["tracing"] = json!({"type": "X-Amzn-Trace-Id", "value": trace_id.to_string()});
    record
}

fn span(span: &Span) -> Value {
    json!({
        "name": span.name.as_str(),
        "start": time(span.start),
        "durationMs": milliseconds(span.duration),
    })
}

#[cfg(test)]
mod tests;
