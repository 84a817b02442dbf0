//! What starting an environment tells about an image.

use std::time::Duration;

use super::catalogue::{INIT_FAILED, READ_ONLY_ROOT, SHARED_MEMORY};
use super::rule::Rule;
use super::{Finding, Severity};
use crate::model::Status;

/// The rules that only a start can show to be broken.
pub(crate) const START_RULES: [&Rule; 3] = [&INIT_FAILED, &READ_ONLY_ROOT, &SHARED_MEMORY];

/// Lambda's limit for an INIT that an invocation waits for.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// So many of the log's last lines are shown of an INIT that failed, and so many
/// characters of them all: the last error of a traceback with what led to it.
const LAST_LINES: usize = 40;
const LOG_MAX: usize = 8_000;

/// Characters of a line that are shown, half of them from its begin.
const LINE_MAX: usize = 2_000;

/// What an INIT ahead of any invocation came to: how long it took, how it ended, why
/// if that is known, and what was logged.
pub(crate) fn of_start(
    duration: Duration,
    status: &Status,
    reason: Option<&str>,
    log: &str,
) -> Vec<Finding> {
    let message = match status {
        Status::Success if duration <= INIT_LIMIT => None,
        Status::Success => Some(format!(
            "it took {:.1} s; Lambda starts it again after 10 s, at the expense of the first \
             invocation",
            duration.as_secs_f64()
        )),
        Status::Timeout => Some("it did not come to ask for an event".to_owned()),
        Status::Error(kind) => {
            let reason = reason.map(|reason| format!(": {}", visible(reason)));
            Some(format!("{}{}", visible(kind), reason.unwrap_or_default()))
        }
    };
    let failed = message.map(|message| {
        if *status == Status::Success {
            Finding::new(&INIT_FAILED, message).with(Severity::Warning)
        } else {
            let last = last_lines(log);
            let silent = if last.is_empty() {
                "; it has logged nothing"
            } else {
                ""
            };
            Finding::new(&INIT_FAILED, format!("{message}{silent}")).with_log(last)
        }
    });
    let mut findings: Vec<_> = failed.into_iter().collect();
    let about = |rule, texts: &[&str]| {
        // Python's client writes a traceback as one line, with CR between its lines.
        let line = log
            .split(['\n', '\r'])
            .find(|line| texts.iter().any(|text| line.contains(text)))?;
        Some(Finding::new(rule, visible(line.trim())))
    };
    findings.extend(about(
        &READ_ONLY_ROOT,
        &["Read-only file system", "EROFS", "ReadOnlyFileSystem"],
    ));
    findings.extend(about(
        &SHARED_MEMORY,
        &[
            "/dev/shm",
            "[Errno 38] Function not implemented",
            // glibc since 2.34 says ENOENT, about no file.
            "_multiprocessing.SemLock(",
            "sem_open",
            "shm_open",
        ],
    ));
    findings
}

/// The end of a log, in whole lines as far as there is room.
fn last_lines(log: &str) -> Vec<String> {
    // Python's client writes a traceback as one line, with CR between its lines.
    let lines = log.split(['\n', '\r']).map(str::trim_end);
    let lines = lines.filter(|line| !line.is_empty()).rev();
    let mut room = LOG_MAX;
    let mut last = vec![];
    for line in lines.take(LAST_LINES) {
        let line = shortened(line);
        let Some(left) = room.checked_sub(line.chars().count()) else {
            break;
        };
        room = left;
        last.push(line);
    }
    last.reverse();
    last
}

/// A line, without the middle of one that is very long.
fn shortened(line: &str) -> String {
    let length = line.chars().count();
    if length <= LINE_MAX {
        return visible(line);
    }
    let begin: String = line.chars().take(LINE_MAX / 2).collect();
    let end: String = line.chars().skip(length - LINE_MAX / 2).collect();
    let left_out = length - LINE_MAX;
    format!(
        "{} … {left_out} characters … {}",
        visible(&begin),
        visible(&end)
    )
}

/// A text as one line that moves no cursor, and otherwise as it is.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // Quotes and backslashes stay; what is not printed does not.
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_as_it_was_written() {
        for (log, expected) in [
            (
                "[ERROR] OSError: [Errno 30] Read-only file system: '/home/é'\rTraceback:\r  x\n",
                "[ERROR] OSError: [Errno 30] Read-only file system: '/home/é'",
            ),
            (
                "Traceback:\r\u{a0}\u{a0}open(\"x\")\r\u{a0}EROFS: C:\\ \x1b[31m\u{202e}\rmore",
                "EROFS: C:\\ \\u{1b}[31m\\u{202e}",
            ),
        ] {
            let findings = of_start(Duration::from_secs(1), &Status::Success, None, log);
            let messages: Vec<_> = findings.iter().map(|finding| &finding.message).collect();
            assert_eq!(messages, [expected], "{log:?}");
        }
    }

    fn codes(seconds: u64, status: &Status, log: &str) -> Vec<&'static str> {
        let findings = of_start(Duration::from_secs(seconds), status, None, log);
        findings.iter().map(|finding| finding.rule.code).collect()
    }

    #[test]
    fn a_failure_is_told_with_its_reason_and_the_end_of_the_log() {
        let import = Status::Error("Runtime.ImportModuleError".to_owned());
        let traceback = "1\n[ERROR] Runtime.ImportModuleError: no\rTraceback:\r  x\n\x1b\n";
        for (status, reason, log, expected, lines) in [
            (
                &import,
                Some("Unable to import module 'app'"),
                traceback,
                "Runtime.ImportModuleError: Unable to import module 'app'",
                &[
                    "1",
                    "[ERROR] Runtime.ImportModuleError: no",
                    "Traceback:",
                    "  x",
                    "\\u{1b}",
                ][..],
            ),
            (
                &import,
                None,
                "\n",
                "Runtime.ImportModuleError; it has logged nothing",
                &[],
            ),
            (
                &Status::Timeout,
                None,
                "waiting\n",
                "it did not come to ask for an event",
                &["waiting"],
            ),
        ] {
            let findings = of_start(Duration::from_secs(1), status, reason, log);
            assert_eq!(findings[0].message, expected);
            assert_eq!(findings[0].log, lines);
        }
    }

    #[test]
    fn the_last_lines_are_whole() {
        let numbered: Vec<_> = (0..100).map(|number| format!("line {number}")).collect();
        let lines = last_lines(&numbered.join("\n"));
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("line 99"));
        // As many as there is room for, and none in part.
        let full = "x".repeat(LINE_MAX);
        let six = format!("first\n{}", format!("{full}\n").repeat(6));
        let lines = last_lines(&six);
        assert_eq!(lines.len(), LOG_MAX / LINE_MAX);
        assert!(lines.iter().all(|line| *line == full));
        // Both ends of what is longer tell most.
        let line = format!("begin{}end", "é".repeat(3 * LINE_MAX));
        let [shown] = last_lines(&line).try_into().unwrap();
        assert!(shown.starts_with("beginé") && shown.ends_with("éend"));
        assert!(shown.contains(&format!("{} characters", 2 * LINE_MAX + 8)));
        assert!(shown.chars().count() < LINE_MAX + 40);
    }

    #[test]
    fn logs_of_real_libraries() {
        let cases: &[(&str, &[&str])] = &[
            ("hello\n", &[]),
            (
                "OSError: [Errno 30] Read-only file system: '/home/x'\n",
                &["read-only-root"],
            ),
            (
                "Error: EROFS: read-only file system, mkdir '/var/task/.cache'\n",
                &["read-only-root"],
            ),
            (
                "  sl = self._semlock = _multiprocessing.SemLock(\nOSError: [Errno 38] Function not implemented\n",
                &["shared-memory"],
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: '/dev/shm/x'",
                &["shared-memory"],
            ),
        ];
        for (log, expected) in cases {
            assert_eq!(codes(1, &Status::Success, log), *expected, "{log}");
        }
        let exit = Status::Error("Runtime.ExitError".to_owned());
        for (seconds, status) in [(1, exit), (130, Status::Timeout), (11, Status::Success)] {
            assert_eq!(codes(seconds, &status, ""), ["init-failed"], "{status:?}");
        }
    }
}
