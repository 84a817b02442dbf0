//! Lambda's JSON log format: an object a line, with the records of the Telemetry
//! API, at the system log level INFO.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Event;
use crate::model::{InitKind, InitializationType, Report, RequestId, Status, Version};

/// The log lines of an event that happened at `at`, each ending in a newline.
pub fn json_log_lines(at: SystemTime, event: &Event) -> Vec<u8> {
    let lines = match event {
        Event::Function(line) => vec![("function", function(line))],
        Event::InitReport {
            kind,
            duration,
            status,
        } => vec![("platform.initReport", init_report(*kind, *duration, status))],
        Event::Start {
            request_id,
            version,
        } => vec![("platform.start", start(*request_id, *version))],
        Event::Report {
            request_id, report, ..
        } => ended(*request_id, report),
        Event::Throttled => vec![],
    };
    let lines = lines.iter().map(|(kind, record)| line(at, kind, record));
    lines.collect::<String>().into_bytes()
}

/// A sentence of the program's own among them.
pub(crate) fn json_notice(at: SystemTime, message: &str) -> String {
    line(at, "lambent.notice", &message.into())
}

fn line(at: SystemTime, kind: &str, record: &Value) -> String {
    let time = DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true);
    format!("{{\"time\":\"{time}\",\"type\":\"{kind}\",\"record\":{record}}}\n")
}

/// An object as it is, anything else as text.
fn function(line: &[u8]) -> Value {
    serde_json::from_slice(line)
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| String::from_utf8_lossy(line).into())
}

fn start(request_id: RequestId, version: Version) -> Value {
    json!({"requestId": request_id.to_string(), "version": version.to_string()})
}

fn init_report(kind: InitKind, duration: Duration, status: &Status) -> Value {
    let (initialization, phase) = match kind {
        InitKind::OnDemand => (InitializationType::OnDemand, "init"),
        InitKind::Suppressed => (InitializationType::OnDemand, "invoke"),
        InitKind::Provisioned => (InitializationType::ProvisionedConcurrency, "init"),
    };
    with_status(
        json!({
            "initializationType": initialization.as_str(),
            "phase": phase,
            "metrics": {"durationMs": milliseconds(duration)},
        }),
        status,
    )
}

/// `runtimeDone` is of level DEBUG when all went well.
fn ended(request_id: RequestId, report: &Report) -> Vec<(&'static str, Value)> {
    let mut lines = vec![];
    if report.status != Status::Success {
        let done = json!({
            "requestId": request_id.to_string(),
            "metrics": {"durationMs": milliseconds(report.duration)},
        });
        lines.push(("platform.runtimeDone", with_status(done, &report.status)));
    }
    let mut metrics = json!({
        "durationMs": milliseconds(report.duration),
        "billedDurationMs": report.billed_duration_ms(),
        "memorySizeMB": report.memory_size.get(),
        "maxMemoryUsedMB": report.max_memory_used_mb(),
    });
    if let Some(init) = report.init_duration {
        metrics["initDurationMs"] = milliseconds(init).into();
    }
    let report_line = json!({"requestId": request_id.to_string(), "metrics": metrics});
    lines.push(("platform.report", with_status(report_line, &report.status)));
    lines
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
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::MemorySize;

    const TIME: &str = "1970-01-01T00:00:01.500Z";

    fn lines(event: &Event) -> Vec<Value> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        let text = String::from_utf8(json_log_lines(at, event)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        let prefix = format!("{{\"time\":\"{TIME}\",\"type\":\"");
        text.lines()
            .map(|line| {
                assert!(line.starts_with(&prefix), "{line}");
                serde_json::from_str(line).unwrap()
            })
            .collect()
    }

    fn report(status: Status) -> (String, Vec<Value>) {
        let request_id = RequestId::random();
        let report = Report {
            duration: Duration::from_micros(2_460),
            init_duration: Some(Duration::from_millis(110)),
            memory_size: MemorySize::MIN,
            max_memory_used: 36 << 20,
            cpu_used: Duration::ZERO,
            cpu_throttled: Duration::ZERO,
            tmp_used: 0,
            status,
        };
        let event = Event::Report {
            request_id,
            report,
            failed: false,
        };
        (request_id.to_string(), lines(&event))
    }

    #[test]
    fn reports_are_lambdas() {
        let metrics = json!({
            "durationMs": 2.46, "billedDurationMs": 113, "memorySizeMB": 128,
            "maxMemoryUsedMB": 36, "initDurationMs": 110.0,
        });
        let (id, lines) = report(Status::Success);
        let record = json!({"requestId": id, "status": "success", "metrics": metrics});
        let expected = json!({"time": TIME, "type": "platform.report", "record": record});
        assert_eq!(lines, [expected]);
        let (id, lines) = report(Status::Error("Runtime.ExitError".to_owned()));
        let done = json!({
            "requestId": id, "status": "error", "errorType": "Runtime.ExitError",
            "metrics": {"durationMs": 2.46},
        });
        assert_eq!(lines[0]["type"], "platform.runtimeDone");
        assert_eq!(lines[0]["record"], done);
        assert_eq!(lines[1]["record"]["errorType"], "Runtime.ExitError");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn inits_and_starts() {
        let failed = Event::InitReport {
            kind: InitKind::Suppressed,
            duration: Duration::from_micros(118_020),
            status: Status::Timeout,
        };
        let record = json!({
            "initializationType": "on-demand", "phase": "invoke", "status": "timeout",
            "metrics": {"durationMs": 118.02},
        });
        assert_eq!(lines(&failed)[0]["record"], record);
        let provisioned = Event::InitReport {
            kind: InitKind::Provisioned,
            duration: Duration::from_millis(7),
            status: Status::Success,
        };
        let record = json!({
            "initializationType": "provisioned-concurrency", "phase": "init",
            "status": "success", "metrics": {"durationMs": 7.0},
        });
        assert_eq!(lines(&provisioned)[0]["record"], record);
        let request_id = RequestId::random();
        let record = json!({"requestId": request_id.to_string(), "version": "7"});
        let version = "7".parse().unwrap();
        assert_eq!(
            lines(&Event::Start {
                request_id,
                version
            })[0]["record"],
            record
        );
        assert!(lines(&Event::Throttled).is_empty());
    }

    proptest! {
        /// One line of JSON, whatever a function writes.
        #[test]
        fn functions_write_what_they_like(line in prop_oneof![
            prop::collection::vec(any::<u8>().prop_filter("no newline", |byte| *byte != b'\n'), 0..40),
            "\\{\"[a-z]\": ?[0-9]\\}".prop_map(String::into_bytes),
        ]) {
            let lines = lines(&Event::Function(line.clone()));
            prop_assert_eq!(lines.len(), 1);
            let record = &lines[0]["record"];
            if let Some(text) = record.as_str() {
                prop_assert_eq!(text, String::from_utf8_lossy(&line));
            } else {
                prop_assert!(record.is_object());
                prop_assert_eq!(record, &serde_json::from_slice::<Value>(&line).unwrap());
            }
        }
    }
}
