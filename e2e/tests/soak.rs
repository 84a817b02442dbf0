//! `lambent soak`, with functions that leak what is known.

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::{Lambent, Run, privileged, script, wait};
use serde_json::Value;

/// Keeps 64 KB of memory, a file of 32 KB and a descriptor of each invocation.
const LEAKS: &str = "
keep = []
def handle(n):
    keep.append(b'x' * 65536)
    keep.append(os.open('/dev/null', os.O_RDONLY))
    with open(f'/tmp/request-{n}.bin', 'wb') as file: file.write(b'x' * 32768)
";

/// A child process, a thread and a socket of each invocation.
const LEAKS_PROCESSES: &str = "
keep = []
done = threading.Event()
def handle(n):
    if os.fork() == 0: time.sleep(1000)
    threading.Thread(target=done.wait, daemon=True).start()
    keep.append(socket.socket())
";

/// A file that stays the same, and a cache that is full after 20 invocations.
const CACHES: &str = "
keep = {}
def handle(n):
    keep[n % 20] = b'x' * 1000000
    with open('/tmp/cache', 'wb') as file: file.write(b'x' * 100000)
";

fn soak(code: &str, arguments: &[&str]) -> Run {
    let image = Fixture::PythonOciArchive.reference();
    let lambent = Lambent::new();
    let output = lambent
        .command([
            "soak",
            &image,
            "--timeout",
            &wait::seconds(30),
            "--memory",
            "512",
        ])
        .args(script::serving(code))
        .args(["--output", "json"])
        .args(arguments)
        .output();
    output.expect("lambent runs").into()
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn course<'a>(report: &'a Value, resource: &str) -> &'a Value {
    let courses = report["courses"].as_array().expect("courses");
    let found = courses.iter().find(|course| course["resource"] == resource);
    found.unwrap_or_else(|| panic!("no {resource} in {report}"))
}

/// The growth that was found, in the resource's unit for each invocation.
fn rate(report: &Value, resource: &str) -> f64 {
    let course = course(report, resource);
    assert!(course["finding"].is_object(), "{course}");
    course["growth"]["perInvocation"]
        .as_f64()
        .expect("a number")
}

fn assert_near(found: f64, expected: f64) {
    assert!(
        (found / expected - 1.0).abs() < 0.05,
        "{found} for {expected}"
    );
}

#[test]
fn privileged_leaks_are_found_within_5_percent() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (png, html) = (path("soak.png"), path("soak.html"));
    let run = soak(LEAKS, &["-n", "300", "--plot", &png, "--report", &html]);
    assert_eq!(run.status, 1, "{run:?}");
    let report = report(&run);
    assert_near(rate(&report, "memory"), 64.0 / 1_024.0);
    assert_near(rate(&report, "tmp"), 32.0 / 1_024.0);
    assert_near(rate(&report, "tmpFiles"), 1.0);
    assert_near(rate(&report, "descriptors"), 1.0);
    let descriptors = &course(&report, "descriptors")["finding"];
    assert!(
        descriptors["growing"]["/dev/null"]["count"].as_u64() > Some(200),
        "{descriptors}"
    );
    let runs_out = descriptors["runsOutAt"].as_f64().expect("a number");
    assert!((1_000.0..1_024.0).contains(&runs_out), "{descriptors}");
    let tmp = &course(&report, "tmp")["finding"]["growing"];
    assert!(
        tmp["/tmp/request-*.bin"]["bytes"].as_u64() > Some(200 * 32_768),
        "{tmp}"
    );
    for clean in ["threads", "processes", "sockets"] {
        assert!(course(&report, clean)["finding"].is_null(), "{report}");
    }
    assert_eq!(report["crossing"]["/tmp/request-*.bin"]["count"], 299);
    for resource in [
        "memory",
        "tmp",
        "tmp-files",
        "descriptors",
        "threads",
        "processes",
        "sockets",
        "duration",
    ] {
        let picture = std::fs::read(path(&format!("soak-{resource}.png")));
        assert!(picture.expect("a picture").starts_with(b"\x89PNG"));
    }
    let html = std::fs::read_to_string(html).expect("a page");
    assert!(
        html.contains("request-*.bin") && html.contains("<svg"),
        "{html}"
    );
}

#[test]
fn privileged_processes_and_threads_are_counted() {
    if !privileged() {
        return;
    }
    let run = soak(LEAKS_PROCESSES, &["-n", "100", "--environments", "2"]);
    assert_eq!(run.status, 1, "{run:?}");
    let report = report(&run);
    assert_near(rate(&report, "processes"), 1.0);
    assert_near(rate(&report, "threads"), 2.0);
    assert_near(rate(&report, "sockets"), 1.0);
    assert_eq!(course(&report, "threads")["growingEnvironments"], 2);
    let names = &course(&report, "processes")["finding"]["growing"];
    assert!(names["python*"]["count"].as_u64() > Some(60), "{names}");
    assert!(course(&report, "tmp")["finding"].is_null(), "{report}");
}

#[test]
fn privileged_a_function_with_caches_is_clean() {
    if !privileged() {
        return;
    }
    let run = soak(CACHES, &["-n", "500"]);
    assert_eq!(run.status, 0, "{run:?}");
    let report = report(&run);
    for course in report["courses"].as_array().expect("courses") {
        assert!(course["finding"].is_null(), "{course}");
        assert!(course["growth"].is_object(), "{course}");
    }
    assert_eq!(report["crossing"]["/tmp/cache"]["count"], 1);
}

#[test]
fn privileged_a_failure_ends_it_with_what_was_seen() {
    if !privileged() {
        return;
    }
    let code = "\ndef handle(n):\n    if n == 40: os._exit(7)\n";
    let run = soak(code, &["-n", "1000"]);
    assert_eq!(run.status, 1, "{run:?}");
    let report = report(&run);
    let failure = report["subject"]["failure"].as_str().expect("a failure");
    assert!(
        failure.contains("at invocation 40") && failure.contains("exit status 7"),
        "{failure}"
    );
    assert_eq!(report["subject"]["done"], 39);
}

#[test]
fn privileged_a_function_that_fails_at_once_is_no_interruption() {
    if !privileged() {
        return;
    }
    let run = soak("\ndef handle(n): raise ValueError('no')\n", &["-n", "5"]);
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stderr.contains("failed at invocation 1"), "{run:?}");
    assert!(run.stderr.contains("exit status 1"), "{run:?}");
    assert_eq!(run.stdout, "", "{run:?}");
}
