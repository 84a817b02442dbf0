//! `make bench-tune`: what `lambent tune` and `lambent soak` say of functions whose
//! durations and leaks are known.

use std::ffi::OsString;
use std::fmt::Write;

use serde_json::Value;

use crate::fixtures::{Error, Fixture};
use crate::parts::{self, Table};
use crate::{Lambent, Run, script};

const USAGE: &str = "usage: bench_tune [tune|processes|waiting|memory|soak]...";

/// CPU that the computing function uses, in milliseconds.
const CPU_MS: f64 = 200.0;

/// Runs what the words of the command line ask for, all without any.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let parts: [(&str, Table); 5] = [
        ("tune", tune),
        ("processes", processes),
        ("waiting", waiting),
        ("memory", memory),
        ("soak", soak),
    ];
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
    computing(
        &format!("{CPU_MS} ms in one thread"),
        &code,
        &["--rounds", "4", "--warm", "5"],
        1.0,
        Some(CPU_MS),
    )
}

/// The same with a process for each of two CPUs.
fn processes() -> Result<String, Error> {
    let each = CPU_MS / 4.0;
    let code = format!(
        "\ndef burn():\n    begin = time.process_time()\n    \
         while time.process_time() - begin < {}: pass\n\
         def handle(n):\n    child = os.fork()\n    burn()\n    \
         if child == 0: os._exit(0)\n    os.waitpid(child, 0)\n",
        each / 1e3
    );
    computing(
        &format!("{each} ms in each of two processes"),
        &code,
        &["--rounds", "4", "--warm", "8"],
        2.0,
        // To fork and to wait takes CPU too, nobody knows how much.
        None,
    )
}

/// The table of a function that computes in so many processes, and takes so long with one
/// CPU; if that is not known, as long as it does with 1,769 MB.
fn computing(
    what: &str,
    code: &str,
    arguments: &[&str],
    processes: f64,
    with_one_cpu: Option<f64>,
) -> Result<String, Error> {
    let report = report("tune", code, arguments)?;
    let mut text = format!(
        "`lambent tune` of a function that computes for {what}\n\
         | memory | expected ms | median ms | error | throttled | USD/million |\n|---|---|---|---|---|---|\n"
    );
    let sizes = report["sizes"].as_array().ok_or("no sizes")?;
    let whole = sizes.iter().find(|size| size["memorySizeMb"] == 1_769);
    let whole = whole.and_then(|size| size["figures"]["durationP50Ms"].as_f64());
    let with_one_cpu = with_one_cpu.or(whole).ok_or("no figures with 1,769 MB")?;
    for size in sizes {
        let number = |name: &str| size["figures"][name].as_f64().unwrap_or(f64::NAN);
        let memory = size["memorySizeMb"].as_f64().unwrap_or(f64::NAN);
        let expected = with_one_cpu / (memory / 1_769.0).min(processes);
        let median = number("durationP50Ms");
        let _ = writeln!(
            text,
            "| {memory} | {expected:.1} | {median:.1} | {:+.2} % | {:.1} % | {:.3} |",
            (median / expected - 1.0) * 100.0,
            number("throttledShare") * 100.0,
            number("costPerMillion"),
        );
    }
    verdict(&mut text, &report);
    Ok(text)
}

/// A function that waits, which no memory makes faster.
fn waiting() -> Result<String, Error> {
    let code = "\ndef handle(n): time.sleep(0.2)\n";
    let report = report("tune", code, &["--rounds", "4", "--warm", "10"])?;
    let mut text = String::from(
        "`lambent tune` of a function that sleeps for 200 ms\n\
         | memory | median ms | p95 ms | USD/million |\n|---|---|---|---|\n",
    );
    for size in report["sizes"].as_array().ok_or("no sizes")? {
        let number = |name: &str| size["figures"][name].as_f64().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:.3} |",
            size["memorySizeMb"],
            number("durationP50Ms"),
            number("durationP95Ms"),
            number("costPerMillion"),
        );
    }
    verdict(&mut text, &report);
    Ok(text)
}

/// Functions that fill so much memory: the smallest size that is enough.
fn memory() -> Result<String, Error> {
    let mut text = String::from(
        "`lambent tune` of functions that fill memory\n\
         | filled MB | peak MB, with 1,024 MB | smallest that is enough | too small |\n|---|---|---|---|\n",
    );
    for filled in [150_u32, 300, 600] {
        let code = format!("\ndef handle(n): b'x' * ({filled} << 20)\n");
        let sizes = ["--memory", "128,1024", "--rounds", "1", "--warm", "2"];
        let report = report("tune", &code, &sizes)?;
        let sizes = report["sizes"].as_array().ok_or("no sizes")?;
        let peak = &sizes.get(1).ok_or("two sizes")?["figures"]["maxMemoryUsedMb"];
        let _ = writeln!(
            text,
            "| {filled} | {peak} | {} | {} |",
            report["smallestWorkingMb"], report["outOfMemoryMb"]
        );
    }
    Ok(text)
}

fn verdict(text: &mut String, report: &Value) {
    let _ = writeln!(
        text,
        "\nVerdict: {}\nOthers used {:.1} % of the host's CPU.",
        report["verdict"],
        report["subject"]["hostBusyShare"]
            .as_f64()
            .unwrap_or(f64::NAN)
            * 100.0
    );
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
