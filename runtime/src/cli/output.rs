//! Standard output and standard error, and what goes where: the response to the
//! one, everything else to the other.

#![expect(
    clippy::print_stderr,
    reason = "the one place that writes to the terminal"
)]

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::environment::InvocationResult;
use crate::model::Report;

/// One line on standard error, in the program's name.
pub(super) fn diagnostic(message: &str) {
    eprintln!("lambent: {message}");
}

/// A line about what is going on, on standard error; that nobody reads it is the
/// caller's choice.
pub(super) fn progress(message: &str) {
    let _closed = writeln!(io::stderr().lock(), "lambent: {message}");
}

/// Whether standard error is a terminal, which it is from beginning to end.
pub(super) fn stderr_is_terminal() -> bool {
    static IS_TERMINAL: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());
    *IS_TERMINAL
}

/// Log bytes to standard error. A carriage return starts a line, as in CloudWatch:
/// Python's runtime client joins the lines of a traceback with it, to one event. On a
/// terminal, other control bytes are shown rather than obeyed: what a function writes
/// must not move the cursor or retitle the window.
pub(super) fn log(bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    // A closed standard error is the caller's choice.
    let _ = if stderr_is_terminal() {
        stderr.write_all(&visible(&in_lines(bytes)))
    } else {
        stderr.write_all(&in_lines(bytes))
    };
}

/// An event of a log to standard output, with its lines and harmless on a terminal as in
/// [`log`].
pub(super) fn log_line(event: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let lines = in_lines(event.strip_suffix(b"\r").unwrap_or(event));
    if stdout.is_terminal() {
        stdout.write_all(&visible(&lines))?;
    } else {
        stdout.write_all(&lines)?;
    }
    stdout.write_all(b"\n")
}

/// The same with a line feed at the end of each line, whether it ended in one, in a
/// carriage return or in both.
fn in_lines(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'\r') {
        return Cow::Borrowed(bytes);
    }
    let mut text = Vec::with_capacity(bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' if bytes.get(index + 1) == Some(&b'\n') => {}
            b'\r' => text.push(b'\n'),
            byte => text.push(*byte),
        }
    }
    Cow::Owned(text)
}

/// Replaces control characters, except line ends and tab, by their pictures, and those
/// that have none by a mark: U+009B is to some terminals what ESC [ is, and so is the byte
/// alone. Other bytes that are no UTF-8 are left to the terminal.
fn visible(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let shown = match character {
                '\n' | '\t' => character,
                '\0'..' ' => char::from_u32(0x2400 + u32::from(character))
                    .unwrap_or(char::REPLACEMENT_CHARACTER),
                '\u{7f}' => '\u{2421}',
                '\u{80}'..'\u{a0}' => char::REPLACEMENT_CHARACTER,
                other => other,
            };
            text.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
        }
        match chunk.invalid() {
            // A continuation without a beginning.
            [0x80..0xa0] => text.extend_from_slice("\u{fffd}".as_bytes()),
            other => text.extend_from_slice(other),
        }
    }
    text
}

/// Waits until nobody reads standard output any more: a pipe or a socket whose other end
/// is closed. Whoever waits for something to write would else learn it only then.
pub(super) async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    // Ends with the program, which must not wait for it.
    let watching = std::thread::Builder::new().spawn(move || {
        let stdout = io::stdout();
        // Errors and hang-ups come unasked for; a file has neither.
        let mut events = [PollFd::new(&stdout, PollFlags::empty())];
        if rustix::io::retry_on_intr(|| poll(&mut events, None)).is_ok() {
            let _nobody_waits = gone.send(());
        }
    });
    if watching.is_err() || told.await.is_err() {
        std::future::pending::<()>().await;
    }
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

/// A JSON value on one line of standard output.
pub(super) fn json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", tame(&value.to_string()))
}

/// A JSON value on standard output, indented for people.
pub(super) fn json_document(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", tame(&format!("{value:#}")))
}

/// JSON text in which strings from images are harmless on a terminal: what is
/// invisible or moves the cursor is escaped.
fn tame(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let is_harmless = character == '\n' || !character.is_control();
        let is_visible = character.is_ascii()
            || matches!(character.escape_debug().len(), 1)
            || character.is_alphanumeric();
        if is_harmless && is_visible {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.extend(format!("\\u{unit:04x}").chars());
            }
        }
    }
    text
}

/// A number of bytes in decimal units, as other tools show sizes of images.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    // In tenths of the unit, rounded.
    let mut tenths = (bytes + 50) / 100;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Rows as lines with aligned columns.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}   "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A line of text on standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_tables() {
        let sizes = [0, 999, 1000, 34_049_000, 999_960, 10_737_418_240].map(size);
        assert_eq!(
            sizes,
            ["0 B", "999 B", "1.0 kB", "34.0 MB", "1.0 MB", "10.7 GB"]
        );
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["A      B", "long   x"]);
    }

    #[test]
    fn json_moves_no_cursor() {
        let value = json!({ "a": "\u{1b}[31m\u{9b}\u{202e}ü\u{1f600}\u{7f}" });
        let text = tame(&value.to_string());
        assert!(
            !text.chars().any(char::is_control) && !text.contains('\u{202e}'),
            "{text}"
        );
        assert!(text.contains("ü😀"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn control_bytes_are_shown() {
        for (bytes, shown) in [
            ("a\x1b[31m\n\tü\n".as_bytes(), "a␛[31m\n\tü\n".as_bytes()),
            (
                "a\u{9b}31m\u{9d}0;x\x07".as_bytes(),
                "a�31m�0;x␇".as_bytes(),
            ),
            (b"a\x9b31m\x7f", "a�31m␡".as_bytes()),
            // The beginning of a character whose end may be still to come.
            (b"a\xe2\x82", b"a\xe2\x82"),
            (b"a\xfcb", b"a\xfcb"),
            ("€😀".as_bytes(), "€😀".as_bytes()),
        ] {
            assert_eq!(visible(bytes), shown, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line() {
        for (bytes, lines) in [
            ("a\nb\x1b\n", "a\nb\x1b\n"),
            (
                "[ERROR] E\rTraceback:\r  x\n",
                "[ERROR] E\nTraceback:\n  x\n",
            ),
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\r\r\nb\r", "a\n\nb\n"),
        ] {
            assert_eq!(&*in_lines(bytes.as_bytes()), lines.as_bytes(), "{bytes:?}");
        }
    }
}
