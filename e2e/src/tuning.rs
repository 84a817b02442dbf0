//! `make bench-tune`: what `lambent tune` and `lambent soak` say of functions whose
//! durations and leaks are known.

use std::ffi::OsString;
use std::fmt::Write;

use serde_json::Value;

use crate::fixtures::{Error, Fixture};
use crate::parts::{self, Table};
use crate::{Lambent, Run, script};

const USAGE: &str = "usage: bench_tune [tune|soak]...";

/// CPU that the computing function uses, in milliseconds.
const CPU_MS: f64 = 200.0;

/// Runs what the words of the command line ask for, all without any.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let parts: [(&str, Table); 2] = [("tune", tune), ("soak", soak)];
    parts::run(&parts, USAGE, words)
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

/// Functions that leak so much an invocation, and what is found; and a clean one over
/// 10,000 invocations.
fn soak() -> Result<String, Error> {
    let mut text = String::from(
        "`lambent soak` of functions whose leaks are known\n\
         | leak | invocations | expected | found | error |\n|---|---|---|---|---|\n",
    );
    for (name, resource, code, invocations, expected) in [
        (
            "memory, 16 KB",
            "memory",
            "keep.append(b'x' * 16384)",
            "5000",
            16.0 / 1_024.0,
        ),
        (
            "/tmp, 8 KB",
            "tmp",
            "open(f'/tmp/r{n}', 'wb').write(b'x' * 8192)",
            "5000",
            8.0 / 1_024.0,
        ),
        (
            "a descriptor",
            "descriptors",
            "keep.append(os.open('/dev/null', os.O_RDONLY))",
            "900",
            1.0,
        ),
        (
            "nothing",
            "",
            "keep.append(b'x' * 16384); keep.clear()",
            "10000",
            0.0,
        ),
    ] {
        let code = format!("\nkeep = []\ndef handle(n): {code}\n");
        let report = report("soak", &code, &["-n", invocations, "--memory", "512"])?;
        let courses = report["courses"].as_array().ok_or("no courses")?;
        let leaks = courses
            .iter()
            .filter(|course| course["finding"].is_object());
        let leaks: Vec<_> = leaks.collect();
        let course = leaks.iter().find(|course| course["resource"] == resource);
        let found = course.and_then(|course| course["growth"]["perInvocation"].as_f64());
        let (found, error) = match found {
            Some(found) => (
                format!("{found:.6}"),
                format!("{:+.2} %", (found / expected - 1.0) * 100.0),
            ),
            None => (format!("{} findings", leaks.len()), "-".to_owned()),
        };
        let _ = writeln!(
            text,
            "| {name} | {invocations} | {expected:.6} | {found} | {error} |"
        );
    }
    Ok(text)
}
