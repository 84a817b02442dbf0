use std::time::Duration;

use super::super::{Api, SpanName};
use super::*;
use crate::model::{
    ExtensionEvent, ExtensionInfo, ExtensionState, InitKind, MemorySize, Report, RequestId, Version,
};

const ALL: [Category; 3] = [Category::Platform, Category::Function, Category::Extension];
const SCHEMAS: [Schema; 4] = [
    Schema::Logs202008,
    Schema::Logs202103,
    Schema::Telemetry202207,
    Schema::Telemetry202212,
];

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)
}

fn render(event: &Event, schema: Schema) -> Vec<Value> {
    delivered(at(), event, schema, &ALL, true)
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn event(kind: &str, record: &Value) -> Value {
    json!({"time": "1970-01-01T00:00:01.500Z", "type": kind, "record": record})
}

fn report(status: Status) -> Report {
    Report {
        duration: Duration::from_micros(2_460),
        init_duration: Some(Duration::from_millis(110)),
        memory_size: MemorySize::MIN,
        max_memory_used: 36 << 20,
        cpu_used: Duration::ZERO,
        cpu_throttled: Duration::ZERO,
        tmp_used: 0,
        status,
    }
}

type Records<'a> = Vec<(&'a str, Value)>;

/// Each event, and what it is for the Telemetry API and for both schemas of the
/// Logs API.
#[test]
fn every_event_has_lambdas_form() {
    let request_id = RequestId::random();
    let id = request_id.to_string();
    let trace_id = TraceId::random();
    let tracing = json!({"type": "X-Amzn-Trace-Id", "value": trace_id.to_string()});
    let error = || Status::Error("Runtime.ExitError".to_owned());
    let span = |name| Span {
        name,
        start: at(),
        duration: Duration::from_micros(1_250),
    };
    let span_json =
        |name: &str| json!({"name": name, "start": "1970-01-01T00:00:01.500Z", "durationMs": 1.25});
    let metrics = json!({
        "durationMs": 2.46, "billedDurationMs": 113, "memorySizeMB": 128,
        "maxMemoryUsedMB": 36, "initDurationMs": 110.0,
    });
    let info = ExtensionInfo {
        name: "agent".to_owned(),
        state: ExtensionState::Ready,
        events: vec![ExtensionEvent::Invoke],
        error_type: None,
    };
    let extension = json!({"name": "agent", "state": "Ready", "events": ["INVOKE"]});
    let subscription = json!({"name": "agent", "state": "Subscribed", "types": ["platform"]});
    let subscribed = |api| Event::Subscribed {
        api,
        name: "agent".to_owned(),
        types: vec![Category::Platform],
    };
    let start = json!({"requestId": id, "version": "$LATEST"});
    let mut traced_start = start.clone();
    traced_start["tracing"] = tracing.clone();
    let message = format!("RequestId: {id} Error: Runtime exited with error: exit status 1");
    let none: Records<'_> = vec![];
    let table: Vec<(Event, Records<'_>, Records<'_>, Records<'_>)> = vec![
        (
            Event::InitStart {
                kind: InitKind::OnDemand,
                function_name: "f".parse().unwrap(),
                version: Version::default(),
                memory_size: MemorySize::MIN,
                instance_id: "i".to_owned(),
            },
            vec![(
                "platform.initStart",
                json!({
                    "initializationType": "on-demand", "phase": "init", "functionName": "f",
                    "functionVersion": "$LATEST", "instanceId": "i", "instanceMaxMemory": 128,
                }),
            )],
            none.clone(),
            none.clone(),
        ),
        (
            Event::InitRuntimeDone {
                kind: InitKind::Provisioned,
                status: Status::Success,
            },
            vec![(
                "platform.initRuntimeDone",
                json!({
                    "initializationType": "provisioned-concurrency", "phase": "init",
                    "status": "success",
                }),
            )],
            none.clone(),
            none.clone(),
        ),
        (
            Event::InitReport {
                kind: InitKind::Suppressed,
                duration: Duration::from_micros(118_020),
                status: Status::Timeout,
            },
            vec![(
                "platform.initReport",
                json!({
                    "initializationType": "on-demand", "phase": "invoke", "status": "timeout",
                    "errorType": "Runtime.Unknown", "metrics": {"durationMs": 118.02},
                }),
            )],
            none.clone(),
            none.clone(),
        ),
        (
            Event::Extension(info),
            vec![("platform.extension", extension.clone())],
            vec![("platform.extension", extension.clone())],
            vec![("platform.extension", extension)],
        ),
        (
            subscribed(Api::Telemetry),
            vec![("platform.telemetrySubscription", subscription.clone())],
            vec![("platform.telemetrySubscription", subscription.clone())],
            vec![("platform.telemetrySubscription", subscription.clone())],
        ),
        (
            subscribed(Api::Logs),
            vec![("platform.logsSubscription", subscription.clone())],
            vec![("platform.logsSubscription", subscription.clone())],
            vec![("platform.logsSubscription", subscription)],
        ),
        (
            Event::Start {
                request_id,
                version: Version::default(),
                trace_id: trace_id.clone(),
            },
            vec![("platform.start", traced_start)],
            vec![("platform.start", start.clone())],
            vec![("platform.start", start)],
        ),
        (
            Event::RuntimeDone {
                request_id,
                duration: Duration::from_micros(2_460),
                status: error(),
                produced_bytes: 7,
                spans: vec![
                    span(SpanName::ResponseLatency),
                    span(SpanName::ResponseDuration),
                    span(SpanName::RuntimeOverhead),
                ],
                trace_id: trace_id.clone(),
            },
            vec![(
                "platform.runtimeDone",
                json!({
                    "requestId": id, "status": "error", "errorType": "Runtime.ExitError",
                    "metrics": {"durationMs": 2.46, "producedBytes": 7},
                    "spans": [
                        span_json("responseLatency"), span_json("responseDuration"),
                        span_json("runtimeOverhead"),
                    ],
                    "tracing": tracing,
                }),
            )],
            none.clone(),
            vec![(
                "platform.runtimeDone",
                json!({"requestId": id, "status": "failure"}),
            )],
        ),
        (
            Event::Fault {
                request_id,
                message: message.clone(),
                error_type: "Runtime.ExitError",
            },
            none.clone(),
            vec![(
                "platform.fault",
                format!("{message}\nRuntime.ExitError\n").into(),
            )],
            vec![(
                "platform.fault",
                format!("{message}\nRuntime.ExitError\n").into(),
            )],
        ),
        (
            Event::Report {
                request_id,
                report: report(Status::Timeout),
                failed: true,
                spans: vec![span(SpanName::ExtensionOverhead)],
                trace_id: trace_id.clone(),
            },
            vec![(
                "platform.report",
                json!({
                    "requestId": id, "status": "timeout", "metrics": metrics,
                    "spans": [span_json("extensionOverhead")], "tracing": tracing,
                }),
            )],
            vec![
                ("platform.end", json!({"requestId": id})),
                (
                    "platform.report",
                    json!({"requestId": id, "metrics": metrics}),
                ),
            ],
            vec![
                ("platform.end", json!({"requestId": id})),
                (
                    "platform.report",
                    json!({"requestId": id, "metrics": metrics}),
                ),
            ],
        ),
        (Event::Throttled, none.clone(), none.clone(), none),
    ];
    for (happened, telemetry, old_logs, logs) in table {
        for (schema, expected) in [
            (Schema::Telemetry202207, &telemetry),
            (Schema::Telemetry202212, &telemetry),
            (Schema::Logs202008, &old_logs),
            (Schema::Logs202103, &logs),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(kind, record)| event(kind, record))
                .collect();
            assert_eq!(
                render(&happened, schema),
                expected,
                "{schema:?} {happened:?}"
            );
        }
    }
}

#[test]
fn json_of_functions_stays_json_where_both_sides_know_it() {
    let written = Event::Function(br#"{"level": "INFO"}"#.to_vec());
    for schema in SCHEMAS {
        for structured in [false, true] {
            let lines = delivered(at(), &written, schema, &ALL, structured);
            let parsed: Value = serde_json::from_slice(&lines[0]).unwrap();
            let expected = if structured && schema == Schema::Telemetry202212 {
                json!({"level": "INFO"})
            } else {
                json!("{\"level\": \"INFO\"}")
            };
            assert_eq!(
                parsed,
                event("function", &expected),
                "{schema:?} {structured}"
            );
        }
    }
    let text = Event::ExtensionLine(b"a \"b\"\r\xff".to_vec());
    for schema in SCHEMAS {
        let expected = event("extension", &json!("a \"b\"\r\u{fffd}"));
        assert_eq!(render(&text, schema), [expected], "{schema:?}");
    }
}

#[test]
fn only_what_was_asked_for() {
    let function = Event::Function(b"x".to_vec());
    for (types, expected) in [
        (&[Category::Function][..], 1),
        (&[Category::Platform, Category::Extension], 0),
    ] {
        let lines = delivered(at(), &function, Schema::Telemetry202212, types, false);
        assert_eq!(lines.len(), expected, "{types:?}");
    }
}

#[test]
fn losses_are_told_in_lambdas_words() {
    let dropped = Dropped {
        records: 12,
        bytes: 3_456,
    };
    let line: Value = serde_json::from_slice(&logs_dropped(at(), dropped)).unwrap();
    let record = json!({
        "droppedBytes": 3_456, "droppedRecords": 12,
        "reason": "Some logs were dropped because the downstream consumer is slower than the \
                   logs production rate",
    });
    assert_eq!(line, event("platform.logsDropped", &record));
}
