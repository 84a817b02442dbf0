//! Reports as `JUnit`'s XML: a test suite for each image, a test case for each rule,
//! which is skipped where the image was not looked at so far. One that could not be read
//! at all has a case more, with the error.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::CommandError;
use super::report::Report;
use crate::validate::{RULES, Severity};

const CLASS: &str = "lambent.validate";

/// The case of an image that could not be read.
const UNREAD: &str = "image-not-read";

pub(super) fn document(reports: &[Report]) -> Result<String, CommandError> {
    let mut document = quick_junit::Report::new("lambent validate");
    for report in reports {
        document.add_test_suite(suite(report));
    }
    document
        .to_string()
        .map_err(|error| CommandError::Internal(format!("write the report: {error}")))
}

fn suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(report.image.clone());
    if let Some(error) = &report.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(error.clone());
        status.set_type(UNREAD);
        let mut case = TestCase::new(UNREAD, status);
        case.set_classname(CLASS);
        suite.add_test_case(case);
    }
    for rule in RULES {
        let own = || {
            let all = report.findings.iter();
            all.filter(|(finding, allowed)| finding.rule == *rule && allowed.is_none())
        };
        let messages: Vec<_> = own().map(|(finding, _)| finding.message.as_str()).collect();
        let failed = own().any(|(finding, _)| finding.severity == Severity::Error);
        let mut status = if failed {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        } else if report.has_tried(rule) {
            TestCaseStatus::success()
        } else {
            TestCaseStatus::skipped()
        };
        if failed {
            status.set_message(messages.join("; "));
            status.set_type(rule.code);
            status.set_description(rule.mend);
        }
        let mut case = TestCase::new(rule.code, status);
        case.set_classname(CLASS);
        let log: Vec<_> = own().flat_map(|(finding, _)| &finding.log).collect();
        if !log.is_empty() {
            let lines = log.iter().map(|line| line.as_str());
            case.set_system_err(lines.collect::<Vec<_>>().join("\n"));
        }
        if !failed && !messages.is_empty() {
            case.set_system_out(messages.join("\n"));
        }
        suite.add_test_case(case);
    }
    suite
}
