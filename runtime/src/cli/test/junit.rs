//! Results as `JUnit`'s XML.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::exit_status::CommandError;
use super::outcome::Verdict;
use super::results::{Finished, Results};
use super::text::sentence;

pub(super) fn document(results: &Results) -> Result<String, CommandError> {
    let mut document = Report::new("lambent test");
    document.set_time(results.elapsed());
    for (name, cases) in results.suites() {
        let mut suite = TestSuite::new(name.to_owned());
        suite.add_test_cases(cases.into_iter().map(|finished| case(name, finished)));
        document.add_test_suite(suite);
    }
    document
        .to_string()
        .map_err(|error| CommandError::Internal(format!("write the report: {error}")))
}

fn case(suite: &str, finished: &Finished) -> TestCase {
    let outcome = &finished.outcome;
    let failure = outcome
        .failure
        .as_ref()
        .filter(|_| finished.verdict == Verdict::Failed);
    let status = match failure {
        None => TestCaseStatus::success(),
        Some(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let sentences = failure.mismatches.iter().map(|one| sentence(suite, one));
            status.set_message(sentences.collect::<Vec<_>>().join("; "));
            let changes = failure
                .mismatches
                .iter()
                .filter_map(|one| one.changes.clone());
            status.set_description(changes.collect::<Vec<_>>().join("\n"));
            status
        }
    };
    let mut case = TestCase::new(finished.name.clone(), status);
    case.set_classname(suite.to_owned());
    case.set_time(outcome.duration);
    if let Some(failure) = failure {
        // XML has no place for most control characters, and the writer none for tabs.
        case.set_system_out(failure.log.replace('\t', " "));
    }
    case
}
