//! `make bench-serve`: a service under load, and for a long time.
//!
//! | part | shows |
//! |---|---|
//! | [`clients`] | many clients at once on few environments, with a restart in the middle: no answer is lost, crossed or given twice |
//! | [`soak`] | many invocations over a few connections: memory and descriptors of the service stay what they are |
//!
//! Tests run both for a moment.

pub mod clients;
pub mod soak;

use std::ffi::OsString;

use crate::fixtures::{self, Error};

const USAGE: &str = "usage: bench_serve [--smoke] [load|soak]...";

/// Runs what the words of the command line ask for, all without any; a moment of it
/// with `--smoke`.
///
/// # Errors
/// A promise is broken, or something could not be run.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    if !words
        .iter()
        .all(|word| ["--smoke", "load", "soak"].contains(word))
    {
        return Err(USAGE.into());
    }
    let smoke = words.contains(&"--smoke");
    let all = !words.iter().any(|word| ["load", "soak"].contains(word));
    fixtures::build(&fixtures::directory())?;
    print(&format!("load before: {}", load_average()?));
    if all || words.contains(&"load") {
        let load = if smoke {
            clients::Load::MOMENT
        } else {
            clients::Load::FULL
        };
        let outcome = clients::run(load)?;
        print(&outcome.to_string());
        outcome.check()?;
    }
    if all || words.contains(&"soak") {
        let invocations = if smoke { soak::MOMENT } else { soak::FULL };
        let outcome = soak::run(invocations)?;
        print(&outcome.to_string());
        outcome.check()?;
    }
    print(&format!("load after: {}", load_average()?));
    Ok(())
}

/// Processes that wanted a CPU in the last 1, 5 and 15 minutes.
fn load_average() -> Result<String, Error> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let words: Vec<&str> = text.split(' ').take(3).collect();
    Ok(words.join(" "))
}

#[expect(clippy::print_stdout, reason = "the table is the output")]
fn print(text: &str) {
    println!("{text}");
}
