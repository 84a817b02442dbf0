//! A function's log: in the form that its `LoggingConfig` says, with what that lets
//! through.

use std::time::SystemTime;

use serde_json::Value;

use super::Event;
use super::json::json_log_lines;
use super::text::text_lines;
use crate::model::{LogLevel, Logging};

/// The log lines of an event that happened at `at`, each ending in a newline. Lines of
/// functions and extensions are passed through byte for byte.
pub(super) fn log_lines(at: SystemTime, event: &Event, logging: Logging) -> Vec<u8> {
    let Logging::Json { application, .. } = logging else {
        return text_lines(event);
    };
    match event {
        Event::Function(line) if level_of(line).is_some_and(|level| level < application) => vec![],
        Event::Function(_) | Event::ExtensionLine(_) => text_lines(event),
        _ => json_log_lines(at, event, logging),
    }
}

/// The level of a line that is JSON and says one. Others come through always.
fn level_of(line: &[u8]) -> Option<LogLevel> {
    let object: Value = serde_json::from_slice(line).ok()?;
    object.get("level")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RequestId, TraceId, Version};

    fn lines(event: &Event, logging: Logging) -> String {
        String::from_utf8(log_lines(SystemTime::UNIX_EPOCH, event, logging)).unwrap()
    }

    #[test]
    fn what_functions_write_is_let_through_by_its_level() {
        let json = |application| Logging::Json {
            application,
            system: LogLevel::Info,
        };
        let debug = r#"{"level": "debug", "message": "x"}"#;
        let error = r#"{"level": "ERROR"}"#;
        for (line, logging, expected) in [
            (debug, Logging::Text, true),
            (debug, json(LogLevel::Info), false),
            (debug, json(LogLevel::Debug), true),
            (error, json(LogLevel::Error), true),
            (error, json(LogLevel::Fatal), false),
            ("text", json(LogLevel::Fatal), true),
            (r#"{"level": 1}"#, json(LogLevel::Fatal), true),
            (r#"{"message": "x"}"#, json(LogLevel::Fatal), true),
        ] {
            let event = Event::Function(line.as_bytes().to_vec());
            let expected = if expected {
                format!("{line}\n")
            } else {
                String::new()
            };
            assert_eq!(lines(&event, logging), expected, "{line} {logging:?}");
        }
    }

    #[test]
    fn what_lambda_says_has_the_form_of_the_log() {
        let request_id = RequestId::random();
        let start = Event::Start {
            request_id,
            version: Version::default(),
            trace_id: TraceId::random(),
        };
        let text = format!("START RequestId: {request_id} Version: $LATEST\n");
        assert_eq!(lines(&start, Logging::Text), text);
        for (system, expected) in [(LogLevel::Info, true), (LogLevel::Warn, false)] {
            let logging = Logging::Json {
                application: LogLevel::Info,
                system,
            };
            let json = format!(
                "{{\"time\":\"1970-01-01T00:00:00.000Z\",\"type\":\"platform.start\",\"record\":\
                 {{\"requestId\":\"{request_id}\",\"version\":\"$LATEST\"}}}}\n"
            );
            let expected = if expected { json } else { String::new() };
            assert_eq!(lines(&start, logging), expected, "{system}");
        }
    }
}
