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

/// So many of the log's last lines are shown of an INIT that failed.
const LAST_LINES: usize = 5;

/// Characters of a line that are shown.
const LINE_MAX: usize = 300;

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
        Status::Timeout => {
            let message = "it did not come to ask for an event";
            Some(format!("{message}{}", last_lines(log)))
        }
        Status::Error(kind) => {
            let reason = reason.map(|reason| format!(": {}", visible(reason)));
            let reason = reason.unwrap_or_default();
            Some(format!("{}{reason}{}", visible(kind), last_lines(log)))
        }
    };
    let failed = message.map(|message| {
        let finding = Finding::new(&INIT_FAILED, message);
        match status {
            Status::Success => finding.with(Severity::Warning),
            _ => finding,
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

/// The end of a log, as a part of a sentence.
fn last_lines(log: &str) -> String {
    // Python's client writes a traceback as one line, with CR between its lines.
    let lines = log.split(['\n', '\r']).map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "; it has logged nothing".to_owned();
    }
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
    let last = last.map(|line| {
        let start: String = line.chars().take(LINE_MAX).collect();
        visible(&start)
    });
    let last: Vec<_> = last.collect();
    format!("; its log ends with: {}", last.join(" | "))
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
        let traceback = "1\n2\n3\n[ERROR] Runtime.ImportModuleError: no\rTraceback:\r  x\n\x1b\n";
        for (status, reason, log, expected) in [
            (
                &import,
                Some("Unable to import module 'app'"),
                traceback,
                "Runtime.ImportModuleError: Unable to import module 'app'; its log ends with: 3 | \
                 [ERROR] Runtime.ImportModuleError: no | Traceback: | x | \\u{1b}",
            ),
            (
                &import,
                None,
                "\n",
                "Runtime.ImportModuleError; it has logged nothing",
            ),
            (
                &Status::Timeout,
                None,
                "waiting\n",
                "it did not come to ask for an event; its log ends with: waiting",
            ),
        ] {
            let findings = of_start(Duration::from_secs(1), status, reason, log);
            assert_eq!(findings[0].message, expected);
        }
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
