//! The parts of a bench: each measures something and writes a table of it.

use std::ffi::OsString;

use crate::fixtures::{self, Error};

/// Measures, and writes a table of it.
pub(crate) type Table = fn() -> Result<String, Error>;

/// Runs the parts that the words of the command line name, all without any, and prints
/// their tables.
pub(crate) fn run(parts: &[(&str, Table)], usage: &str, words: &[OsString]) -> Result<(), Error> {
    let known = |word: &OsString| parts.iter().any(|(name, _)| word.to_str() == Some(name));
    if !words.iter().all(known) {
        return Err(usage.into());
    }
    fixtures::build(&fixtures::directory())?;
    for (name, table) in parts {
        if words.is_empty() || words.iter().any(|word| word.to_str() == Some(name)) {
            print(&table()?);
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is the output")]
fn print(text: &str) {
    println!("{text}");
}
