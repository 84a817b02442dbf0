//! Lambda's JSON log format: an object a line, with the records of the Telemetry
//! API, at the system log level INFO.

use std::time::SystemTime;

use serde_json::Value;

use super::Event;
use super::record::{self, line};
use crate::model::{InitKind, Status};

/// The log lines of an event that happened at `at`, each ending in a newline.
pub fn json_log_lines(at: SystemTime, event: &Event) -> Vec<u8> {
    let Some((kind, record)) = log_record(event) else {
        return vec![];
    };
    (line(at, kind, &record) + "\n").into_bytes()
}

/// What is below INFO is left out: the events of INIT and of the runtime where all
/// went well, but for an INIT that nobody's invocation tells of.
fn log_record(event: &Event) -> Option<(&'static str, Value)> {
    match event {
        Event::Function(line) => Some(("function", record::structured(line))),
        Event::ExtensionLine(line) => Some(("extension", record::structured(line))),
        Event::Extension(info) => Some(("platform.extension", record::extension(info))),
        Event::Subscribed { api, name, types } => Some((
            record::subscribed_type(*api),
            record::subscribed(name, types),
        )),
        Event::InitReport {
            kind: InitKind::OnDemand | InitKind::Suppressed,
            status: Status::Success,
            ..
        }
        | Event::InitRuntimeDone {
            status: Status::Success,
            ..
        }
        | Event::RuntimeDone {
            status: Status::Success,
            ..
        }
        | Event::InitStart { .. }
        | Event::Fault { .. }
        | Event::Throttled => None,
        Event::InitRuntimeDone { kind, status } => Some((
            "platform.initRuntimeDone",
            record::init_runtime_done(*kind, status),
        )),
        Event::InitReport {
            kind,
            duration,
            status,
        } => Some((
            "platform.initReport",
            record::init_report(*kind, *duration, status),
        )),
        Event::Start {
            request_id,
            version,
            ..
        } => Some(("platform.start", record::start(*request_id, *version))),
        Event::Report {
            request_id, report, ..
        } => Some(("platform.report", record::report(*request_id, report))),
        Event::RuntimeDone {
            request_id,
            duration,
            status,
            ..
        } => Some((
            "platform.runtimeDone",
            record::runtime_done(*request_id, *duration, status),
        )),
    }
}

/// A sentence of the program's own among them.
pub(crate) fn json_notice(at: SystemTime, message: &str) -> String {
    line(at, "lambent.notice", &message.into()) + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::{
        ExtensionEvent, ExtensionInfo, ExtensionState, MemorySize, Report, RequestId, TraceId,
    };

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
            spans: vec![],
            trace_id: TraceId::random(),
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
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["record"]["requestId"], id);
        assert_eq!(lines[0]["record"]["errorType"], "Runtime.ExitError");
    }

    #[test]
    fn runtimes_are_done_silently_unless_they_failed() {
        let request_id = RequestId::random();
        let done = |status| Event::RuntimeDone {
            request_id,
            duration: Duration::from_micros(2_460),
            status,
            produced_bytes: 7,
            spans: vec![],
            trace_id: TraceId::random(),
        };
        assert!(lines(&done(Status::Success)).is_empty());
        let record = json!({
            "requestId": request_id.to_string(), "status": "error",
            "errorType": "Runtime.ExitError", "metrics": {"durationMs": 2.46},
        });
        let expected = json!({"time": TIME, "type": "platform.runtimeDone", "record": record});
        let failed = done(Status::Error("Runtime.ExitError".to_owned()));
        assert_eq!(lines(&failed), [expected]);
    }

    #[test]
    fn extensions_are_told() {
        let mut info = ExtensionInfo {
            name: "agent".to_owned(),
            state: ExtensionState::Ready,
            events: vec![ExtensionEvent::Invoke, ExtensionEvent::Shutdown],
            error_type: None,
        };
        let record = json!({"name": "agent", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]});
        let line = &lines(&Event::Extension(info.clone()))[0];
        assert_eq!(
            (&line["type"], &line["record"]),
            (&json!("platform.extension"), &record)
        );
        info.error_type = Some("Extension.Mine".to_owned());
        let line = &lines(&Event::Extension(info))[0];
        assert_eq!(line["record"]["errorType"], "Extension.Mine");
        let line = &lines(&Event::ExtensionLine(b"hello".to_vec()))[0];
        assert_eq!(
            (&line["type"], &line["record"]),
            (&json!("extension"), &json!("hello"))
        );
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
                version,
                trace_id: TraceId::random(),
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
