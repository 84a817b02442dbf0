//! `lambent tune`, with functions whose kind is known. Durations depend on what else
//! the machine does, so what is expected here is what the kernel counts; figures of
//! durations are in `make bench-tune`.

use std::io::{BufRead, BufReader};
use std::process::Child;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::terminal::Terminal;
use lambent_e2e::{Lambent, Run, privileged, script, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Uses 40 ms of CPU.
const COMPUTES: &str = "
def handle(n):
    begin = time.process_time()
    while time.process_time() - begin < 0.04: pass
";

/// `lambent tune` of such a function, with these arguments.
fn start(lambent: &Lambent, code: &str, arguments: &[&str]) -> Child {
    let image = Fixture::PythonOciArchive.reference();
    lambent
        .command(["tune", &image, "--timeout", &wait::seconds(60)])
        .args(script::serving(code))
        .args(arguments)
        .spawn()
        .expect("lambent starts")
}

fn tune(lambent: &Lambent, code: &str, arguments: &[&str]) -> Run {
    let child = start(lambent, code, arguments);
    child.wait_with_output().expect("lambent ends").into()
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn figures(report: &Value, index: usize) -> &Value {
    &report["sizes"][index]["figures"]
}

#[test]
fn privileged_a_function_that_computes_is_cpu_bound() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let path = |name: &str| lambent.root().join(name).display().to_string();
    let (svg, png, html) = (path("a.svg"), path("a.png"), path("a.html"));
    let arguments = [
        "--memory",
        "512,128,1769",
        "--rounds",
        "2",
        "--warm",
        "3",
        "--output",
        "json",
        "--plot",
        &svg,
        "--plot",
        &png,
        "--report",
        &html,
    ];
    let run = tune(&lambent, COMPUTES, &arguments);
    assert_eq!(run.status, 0, "{run:?}");
    let report = report(&run);
    assert_eq!(report["verdict"]["bound"], "cpu", "{report}");
    for (index, memory) in [128.0, 512.0, 1_769.0].into_iter().enumerate() {
        let figures = figures(&report, index);
        let number = |name: &str| figures[name].as_f64().expect("a number");
        assert!(number("cpuUsedMs") >= 40.0, "{figures}");
        // It cannot be faster than its share allows, up to the period that has begun.
        let least = 40.0 / (memory / 1_769.0) - 40.0;
        assert!(number("durationP50Ms") >= least, "{memory} MB: {figures}");
        assert_eq!(report["sizes"][index]["coldRuns"], 2, "{report}");
    }
    let throttled = |index| {
        let share = &figures(&report, index)["throttledShare"];
        share.as_f64().expect("a number")
    };
    assert!(throttled(0) > throttled(2), "{report}");
    assert_eq!(report["samples"].as_array().map(Vec::len), Some(3 * 2 * 4));
    let order = |from: usize| -> Vec<&Value> {
        let steps = report["samples"].as_array().unwrap().iter().step_by(4);
        steps
            .skip(from)
            .take(3)
            .map(|sample| &sample["memorySizeMb"])
            .collect()
    };
    let mut backwards = order(3);
    backwards.reverse();
    assert_eq!(order(0), backwards, "the second round goes the other way");
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("1,769"), "{svg}");
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));
    let html = std::fs::read_to_string(html).unwrap();
    assert!(
        html.contains("<svg") && html.contains("CPU-bound"),
        "{html}"
    );
    assert!(!html.contains("src=") && !html.contains("href="), "{html}");
}

#[test]
fn privileged_a_function_that_sleeps_is_cheapest_with_least_memory() {
    if !privileged() {
        return;
    }
    let code = "\ndef handle(n): time.sleep(0.5)\n";
    let arguments = ["--memory", "128,512", "--rounds", "3", "--warm", "4"];
    let run = tune(&Lambent::new(), code, &arguments);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stdout.contains("Cheapest: 128 MB"), "{run:?}");
    assert!(!run.stdout.contains("CPU-bound"), "{run:?}");
}

#[test]
fn privileged_the_smallest_size_that_is_enough_is_found() {
    if !privileged() {
        return;
    }
    let code = "\ndef handle(n): bytearray(os.urandom(1) * (200 << 20))\n";
    let arguments = [
        "--memory", "128,512", "--rounds", "1", "--warm", "2", "--output", "json",
    ];
    let run = tune(&Lambent::new(), code, &arguments);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stderr.contains("128 MB: out of memory"), "{run:?}");
    let report = report(&run);
    let smallest = report["smallestWorkingMb"].as_u64().unwrap();
    let peak = figures(&report, 1)["maxMemoryUsedMb"].as_u64().unwrap();
    // The measured peak is within 2 MB, and the search within 16.
    assert!(
        (peak - 2..=peak + 18).contains(&smallest),
        "{smallest}: {report}"
    );
    assert!(smallest - report["outOfMemoryMb"].as_u64().unwrap() <= 16);
}

#[test]
fn privileged_the_search_is_not_counted_beyond_all_that_there_is() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::PythonOciArchive.reference();
    let mut command = lambent.command(["tune", &image, "--timeout", &wait::seconds(60)]);
    command.args(script::serving(
        "\ndef handle(n): bytearray(os.urandom(1) * (200 << 20))\n",
    ));
    command.args(["--memory", "128,512", "--rounds", "1", "--warm", "2"]);
    let mut terminal = Terminal::start(&command, (24, 120));
    assert_eq!(terminal.ends().code(), Some(0), "{}", terminal.screen());
    terminal.shows("The smallest size that it works with");
    let screen = terminal.screen();
    assert!(
        screen.contains("] 2 of 2 looking for the smallest size"),
        "{screen}"
    );
    for passed in ["3 of 2", "4 of 2", "5 of 2"] {
        assert!(!screen.contains(passed), "{screen}");
    }
}

#[test]
fn privileged_ctrl_c_leaves_what_was_measured() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let arguments = [
        "--memory", "512", "--rounds", "1000", "--warm", "2", "--output", "json",
    ];
    let mut child = start(&lambent, COMPUTES, &arguments);
    let stderr = child.stderr.take().expect("a pipe");
    // The first line about progress comes when the first environment is done.
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let first = lines
        .find(|line| line.contains("1 of 1000"))
        .expect("progress");
    assert!(first.contains("left"), "{first}");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("a signal");
    let run: Run = child.wait_with_output().expect("lambent ends").into();
    assert_eq!(run.status, 130, "{run:?}");
    let report = report(&run);
    assert_eq!(report["subject"]["interrupted"], true);
    assert!(
        report["sizes"][0]["warmRuns"].as_u64().unwrap() >= 2,
        "{report}"
    );
}

#[test]
fn privileged_a_function_that_always_fails_has_no_verdict() {
    if !privileged() {
        return;
    }
    let code = "\ndef handle(n): raise SystemExit(3)\n";
    let run = tune(
        &Lambent::new(),
        code,
        &["--memory", "128,256", "--rounds", "1"],
    );
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stderr.contains("exit status 3"), "{run:?}");
    assert!(run.stdout.contains("answered at no size"), "{run:?}");
    assert!(
        run.stdout.contains("With 128, 256 MB it failed: "),
        "{run:?}"
    );
    // Nothing was found out that there could be a conclusion from.
    for conclusion in ["Cheapest", "run out of memory", "Prices", "--extrapolate"] {
        assert!(!run.stdout.contains(conclusion), "{conclusion}: {run:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_at_once() {
    let lambent = Lambent::new();
    for (arguments, part) in [
        (["--memory", "100"], "128 to 10240"),
        (["--plot", "a.gif"], "neither in .svg nor in .png"),
        (["--plot", "nowhere/a.svg"], "no directory nowhere"),
        (["--region", "mars-north-1"], "--price gb-second"),
        (["--price", "gold=1"], "no price \"gold\""),
        (
            ["--price", "gb-second=1e308"],
            "number of US dollars from 0 to 1000000",
        ),
        (["--price", "gb-second=-1"], "number of US dollars"),
        (["--price", "gb-second=NaN"], "number of US dollars"),
        (["--payload", "x"], "not JSON"),
    ] {
        let run = lambent.run(["tune", "image.tar"].iter().chain(&arguments));
        assert_eq!(run.status, 2, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(part), "{arguments:?}: {run:?}");
    }
}
