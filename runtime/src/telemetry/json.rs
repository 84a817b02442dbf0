//! Lambda's JSON log format: an object a line, with the records of the Telemetry
//! API, filtered by the system log level.

use std::time::SystemTime;

use serde_json::Value;

use super::Event;
use super::record::{self, line};
use crate::model::{ExtensionState, InitKind, LogLevel, Logging, Status};

/// The log lines of an event that happened at `at`, each ending in a newline, what
/// functions and extensions write included. Of a function whose log is text, Lambda's
/// lines are those of the level INFO.
pub(super) fn json_log_lines(at: SystemTime, event: &Event, logging: Logging) -> Vec<u8> {
    let least = match logging {
        Logging::Text => LogLevel::Info,
        Logging::Json { system, .. } => system,
    };
    if level(event).is_some_and(|level| level < least) {
        return vec![];
    }
    let Some((kind, record)) = log_record(event) else {
        return vec![];
    };
    (line(at, kind, &record) + "\n").into_bytes()
}

/// How much what Lambda says matters.
fn level(event: &Event) -> Option<LogLevel> {
    let unless_success = |status: &Status, level| match status {
        Status::Success => level,
        Status::Timeout | Status::Error(_) => LogLevel::Warn,
    };
    Some(match event {
        // Without the version of a managed runtime.
        Event::InitStart { .. } => LogLevel::Debug,
        Event::InitRuntimeDone { status, .. } | Event::RuntimeDone { status, .. } => {
            unless_success(status, LogLevel::Debug)
        }
        Event::InitReport { kind, status, .. } => {
            let level = match kind {
                InitKind::OnDemand | InitKind::Suppressed => LogLevel::Debug,
                InitKind::Provisioned => LogLevel::Info,
            };
            unless_success(status, level)
        }
        Event::Start { .. } | Event::Subscribed { .. } => LogLevel::Info,
        Event::Report { report, .. } => unless_success(&report.status, LogLevel::Info),
        Event::Extension(info) => match (info.state, &info.error_type) {
            (ExtensionState::Registered | ExtensionState::Ready, None) => LogLevel::Info,
            _ => LogLevel::Warn,
        },
        Event::LogsDropped(_) => LogLevel::Warn,
        Event::Function(_)
        | Event::ExtensionLine(_)
        | Event::Fault { .. }
        | Event::Freezer { .. }
        | Event::Throttled => return None,
    })
}

fn log_record(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Function(line) => ("function", record::structured(line)),
        Event::ExtensionLine(line) => ("extension", record::structured(line)),
        Event::InitStart {
            kind,
            function_name,
            version,
            ..
        } => {
            let record = record::init_start_of(*kind, function_name, *version);
            ("platform.initStart", record)
        }
        Event::InitRuntimeDone { kind, status } => (
            "platform.initRuntimeDone",
            record::init_runtime_done(*kind, status),
        ),
        Event::InitReport {
            kind,
            duration,
            status,
        } => (
            "platform.initReport",
            record::init_report(*kind, *duration, status),
        ),
        Event::Extension(info) => ("platform.extension", record::extension(info)),
        Event::Subscribed { api, name, types } => (
            record::subscribed_type(*api),
            record::subscribed(name, types),
        ),
        Event::Start {
            request_id,
            version,
            ..
        } => ("platform.start", record::start(*request_id, *version)),
        Event::RuntimeDone {
            request_id,
            duration,
            status,
            ..
        } => (
            "platform.runtimeDone",
            record::runtime_done(*request_id, *duration, status),
        ),
        Event::Report {
            request_id, report, ..
        } => ("platform.report", record::report(*request_id, report)),
        Event::LogsDropped(dropped) => ("platform.logsDropped", record::logs_dropped(*dropped)),
        Event::Fault { .. } | Event::Freezer { .. } | Event::Throttled => return None,
    })
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
        let text = String::from_utf8(json_log_lines(at, event, Logging::Text)).unwrap();
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
    fn levels_are_lambdas() {
        let done = |kind, status| Event::InitRuntimeDone { kind, status };
        let init = |kind, status| Event::InitReport {
            kind,
            duration: Duration::ZERO,
            status,
        };
        let extension = |state| {
            Event::Extension(ExtensionInfo {
                name: "agent".to_owned(),
                state,
                events: vec![],
                error_type: None,
            })
        };
        for (event, expected) in [
            (done(InitKind::OnDemand, Status::Success), LogLevel::Debug),
            (done(InitKind::OnDemand, Status::Timeout), LogLevel::Warn),
            (init(InitKind::OnDemand, Status::Success), LogLevel::Debug),
            (init(InitKind::Suppressed, Status::Success), LogLevel::Debug),
            (init(InitKind::Provisioned, Status::Success), LogLevel::Info),
            (init(InitKind::Provisioned, Status::Timeout), LogLevel::Warn),
            (extension(ExtensionState::Ready), LogLevel::Info),
            (extension(ExtensionState::LaunchError), LogLevel::Warn),
        ] {
            assert_eq!(level(&event), Some(expected), "{event:?}");
            for least in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn] {
                let logging = Logging::Json {
                    application: LogLevel::Info,
                    system: least,
                };
                let lines = json_log_lines(SystemTime::UNIX_EPOCH, &event, logging);
                assert_eq!(lines.is_empty(), expected < least, "{event:?} {least}");
            }
        }
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
