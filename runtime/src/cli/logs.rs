//! `lambent logs`: what functions have written, and Lambda about them.

use serde_json::json;

use super::args::{Logs, OutputFormat};
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use super::running::service;
use crate::admin::client::LogQuery;
use crate::admin::protocol::LogRecord;
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Logs,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let service = service(&directories).await?;
    let query = LogQuery {
        function: command
            .function
            .as_ref()
            .map(crate::model::FunctionName::as_str),
        since: command.since.map(super::args::Since::time),
        follow: command.follow,
    };
    let named = query.function.is_some();
    let mut log = service.logs(&query).await?;
    let gone = output::reader_gone();
    tokio::pin!(gone);
    loop {
        let records = tokio::select! {
            records = log.next() => records?,
            () = &mut gone => return Err(CommandError::OutputClosed),
        };
        let Some(records) = records else {
            return Ok(ExitStatus::Success);
        };
        for record in records {
            match command.output {
                OutputFormat::Text => output::log_line(text(&record, named).as_bytes())?,
                OutputFormat::Json => output::json(&as_json(&record))?,
            }
        }
    }
}

/// The time, the function unless it was asked for by name, and the line.
fn text(record: &LogRecord, named: bool) -> String {
    match record {
        LogRecord::Line {
            time,
            function,
            message,
        } if !named => format!("{time} {function} {message}"),
        LogRecord::Line { time, message, .. } => format!("{time} {message}"),
        LogRecord::Lost(lines) => {
            format!("({lines} lines were overwritten before they could be shown)")
        }
    }
}

/// `time`, `function` and `message`, or the number `lost`.
fn as_json(record: &LogRecord) -> serde_json::Value {
    match record {
        LogRecord::Line {
            time,
            function,
            message,
        } => json!({"time": time, "function": function, "message": message}),
        LogRecord::Lost(lines) => json!({"lost": lines}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_when_and_whose() {
        let line = LogRecord::Line {
            time: "2026-11-24T12:00:00.000Z".to_owned(),
            function: "f".to_owned(),
            message: "hello".to_owned(),
        };
        assert_eq!(text(&line, false), "2026-11-24T12:00:00.000Z f hello");
        assert_eq!(text(&line, true), "2026-11-24T12:00:00.000Z hello");
        assert!(text(&LogRecord::Lost(3), true).starts_with("(3 lines "));
        assert_eq!(as_json(&LogRecord::Lost(3)), json!({"lost": 3}));
    }
}
