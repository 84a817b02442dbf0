//! Standard output and standard error, and what goes where: the response to the
//! one, everything else to the other.

#![expect(
    clippy::print_stderr,
    reason = "the one place that writes to the terminal"
)]

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::environment::InvocationResult;
use crate::model::Report;

/// One line on standard error, in the program's name.
pub(super) fn diagnostic(message: &str) {
    eprintln!("lambent: {message}");
}

/// Log bytes to standard error. On a terminal, control bytes are shown rather
/// than obeyed: what a function writes must not move the cursor or retitle the
/// window. A carriage return starts a line, as in CloudWatch: Python's runtime
/// client joins the lines of a traceback with it.
pub(super) fn log(bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    // A closed standard error is the caller's choice.
    let _ = if io::stderr().is_terminal() {
        stderr.write_all(&visible(bytes))
    } else {
        stderr.write_all(bytes)
    };
}

/// Replaces control bytes, except line ends and tab, by their pictures.
fn visible(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\n' | b'\t' => text.push(*byte),
            b'\r' => text.push(b'\n'),
            0..0x20 => text.extend_from_slice(
                char::from_u32(0x2400 + u32::from(*byte))
                    .unwrap_or('\u{fffd}')
                    .encode_utf8(&mut [0; 4])
                    .as_bytes(),
            ),
            0x7f => text.extend_from_slice("\u{2421}".as_bytes()),
            byte => text.push(*byte),
        }
    }
    text
}

/// The response and a newline to standard output.
pub(super) fn response(payload: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(payload)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// One JSON object on one line of standard output.
pub(super) fn json_line(result: &InvocationResult) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", result_as_json(result))?;
    stdout.flush()
}

fn result_as_json(result: &InvocationResult) -> Value {
    let payload = result.payload();
    let payload = serde_json::from_slice(&payload)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&payload)));
    json!({
        "statusCode": 200,
        "functionError": result.function_error(),
        "payload": payload,
        "requestId": result.request_id.to_string(),
        "coldStart": result.cold_start,
        "logs": String::from_utf8_lossy(&result.logs),
        "report": report_as_json(&result.report),
        "warnings": result.warnings,
    })
}

fn report_as_json(report: &Report) -> Value {
    // Hundredths of a millisecond, as in the REPORT line.
    let ms = |duration: std::time::Duration| (duration.as_secs_f64() * 100_000.0).round() / 100.0;
    json!({
        "durationMs": ms(report.duration),
        "billedDurationMs": report.billed_duration_ms(),
        "initDurationMs": report.init_duration.map(ms),
        "memorySizeMb": report.memory_size.get(),
        "maxMemoryUsedMb": report.max_memory_used_mb(),
        "cpuUsedMs": ms(report.cpu_used),
        "cpuThrottledMs": ms(report.cpu_throttled),
        "tmpUsedMb": report.tmp_used_mb(),
    })
}

/// A line of the demo on standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_shown() {
        assert_eq!(
            String::from_utf8(visible("a\x1b[31m\r\tü\n".as_bytes())).unwrap(),
            "a␛[31m\n\tü\n"
        );
    }
}
