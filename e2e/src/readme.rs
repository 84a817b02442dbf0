//! What the README prints, for the tests that hold it to that.

use std::fs;

use crate::fixtures::workspace;

/// The first block of a kind, such as `yaml`, below a heading.
///
/// # Panics
/// If there is none.
pub fn block(heading: &str, kind: &str) -> String {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("the README");
    let (_, section) = readme
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("the README has no section {heading}"));
    let block = section.split(&format!("```{kind}\n")).nth(1);
    let block = block.unwrap_or_else(|| panic!("{heading} has no block of {kind}"));
    block.split("```").next().unwrap_or_default().to_owned()
}
