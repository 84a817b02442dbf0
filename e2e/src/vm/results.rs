//! What the guest brings back: an archive on a disk of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::fixtures::{Error, at};

/// Bytes of the disk; a report of all tests takes a few dozen kilobytes.
pub(super) const DISK_BYTES: u64 = 16 << 20;

/// nextest's exit status, alone in a file.
const STATUS: &str = "status";

/// nextest's report.
pub(super) const REPORT: &str = "junit.xml";

/// The files on a disk that the guest has written; none if it never came to that.
pub(super) fn read(disk: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut archive = tar::Archive::new(File::open(disk).map_err(at(disk))?);
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(at(disk))? {
        let mut entry = entry.map_err(at(disk))?;
        let name = entry.path().map_err(at(disk))?.display().to_string();
        let mut text = String::new();
        if entry.header().entry_type().is_file() {
            entry.read_to_string(&mut text).map_err(at(disk))?;
            files.insert(name.trim_start_matches("./").to_owned(), text);
        }
    }
    Ok(files)
}

/// Whether the tests were run and are good: how many ran.
///
/// # Errors
/// The sentence that says what is not good.
pub(super) fn judge(files: &BTreeMap<String, String>) -> Result<u64, String> {
    let status = files
        .get(STATUS)
        .ok_or("the guest ended without having run the tests to their end")?;
    let count = files
        .get(REPORT)
        .and_then(|report| attribute(report, "testsuites", "tests"))
        .ok_or_else(|| format!("no report of tests; nextest's status is {}", status.trim()))?;
    match (status.trim(), count) {
        (_, 0) => Err("no test ran".to_owned()),
        ("0", count) => Ok(count),
        (status, count) => Err(format!("of {count} tests not all passed (status {status})")),
    }
}

/// A number in the first element of a name.
fn attribute(xml: &str, element: &str, name: &str) -> Option<u64> {
    let element = xml.split(&format!("<{element} ")).nth(1)?;
    let element = element.split('>').next()?;
    let value = element.split(&format!("{name}=\"")).nth(1)?;
    value.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(status: &str, report: &str) -> BTreeMap<String, String> {
        [(STATUS, status), (REPORT, report)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    }

    fn report(tests: u64) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<testsuites name=\"x\" tests=\"{tests}\" failures=\"0\">\n\
             <testsuite name=\"y\" tests=\"1\"></testsuite></testsuites>"
        )
    }

    #[test]
    fn only_tests_that_ran_and_passed_are_good() {
        for (status, report, expected) in [
            ("0\n", report(7), Ok(7)),
            ("0\n", report(0), Err("no test ran")),
            ("100\n", report(7), Err("not all passed")),
            ("4\n", report(0), Err("no test ran")),
            ("4\n", String::new(), Err("no report")),
            ("0\n", "<testsuites>".to_owned(), Err("no report")),
            ("", report(7), Err("ended without")),
            ("", String::new(), Err("ended without")),
        ] {
            let found = judge(&files(status, &report));
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                _ => panic!("{status:?} {report:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_disk_is_read_as_tar_writes_it_and_an_empty_one_has_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("disk");
        File::create(&disk).unwrap().set_len(DISK_BYTES).unwrap();
        assert_eq!(read(&disk).unwrap(), BTreeMap::new());
        let results = directory.path().join("results");
        std::fs::create_dir(&results).unwrap();
        std::fs::write(results.join(STATUS), "0\n").unwrap();
        let mut archive = tar::Builder::new(File::options().write(true).open(&disk).unwrap());
        archive.append_dir_all(".", &results).unwrap();
        archive.finish().unwrap();
        assert_eq!(read(&disk).unwrap(), files("0\n", ""));
    }
}
