//! `make bench-tune`: what `lambent tune` says of a function whose durations are known.

use std::ffi::OsString;
use std::fmt::Write;

use serde_json::Value;

use crate::fixtures::{self, Error, Fixture};
use crate::{Lambent, Run, script};

const USAGE: &str = "usage: bench_tune [tune]...";

/// CPU that the computing function uses, in milliseconds.
const CPU_MS: f64 = 200.0;

/// Measures, and writes a table of it.
type Table = fn() -> Result<String, Error>;

/// Runs what the words of the command line ask for, all without any.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let parts: [(&str, Table); 1] = [("tune", tune)];
    let known = |word: &OsString| parts.iter().any(|(name, _)| word.to_str() == Some(name));
    if !words.iter().all(known) {
        return Err(USAGE.into());
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

/// The JSON of a command with a function of this code.
fn report(command: &str, code: &str, arguments: &[&str]) -> Result<Value, Error> {
    let lambent = Lambent::new();
    let image = Fixture::PythonOciArchive.reference();
    let run: Run = lambent
        .command([
            command,
            &image,
            "--output",
            "json",
            "--timeout",
            "60",
            "--quiet",
        ])
        .args(script::serving(code))
        .args(arguments)
        .output()?
        .into();
    serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run:?}").into())
}

/// Durations of a function that computes, against its share of a CPU.
fn tune() -> Result<String, Error> {
    let code = format!(
        "\ndef handle(n):\n    begin = time.process_time()\n    \
         while time.process_time() - begin < {}: pass\n",
        CPU_MS / 1e3
    );
    let report = report("tune", &code, &["--rounds", "4", "--warm", "5"])?;
    let mut text = format!(
        "`lambent tune` of a function that computes for {CPU_MS} ms in one thread\n\
         | memory | expected ms | median ms | error | throttled | USD/million |\n|---|---|---|---|---|---|\n"
    );
    let sizes = report["sizes"].as_array().ok_or("no sizes")?;
    for size in sizes {
        let number = |name: &str| size["figures"][name].as_f64().unwrap_or(f64::NAN);
        let memory = size["memorySizeMb"].as_f64().unwrap_or(f64::NAN);
        let expected = CPU_MS / (memory / 1_769.0).min(1.0);
        let median = number("durationP50Ms");
        let _ = writeln!(
            text,
            "| {memory} | {expected:.1} | {median:.1} | {:+.2} % | {:.1} % | {:.3} |",
            (median / expected - 1.0) * 100.0,
            number("throttledShare") * 100.0,
            number("costPerMillion"),
        );
    }
    let _ = writeln!(text, "\n{}", report["verdict"]);
    Ok(text)
}
