//! Limits, as the kernel enforces them on real functions.

use std::time::Duration;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, Run, privileged, script, wait};
use serde_json::{Value, json};

fn invoke(event: &Value, arguments: &[&str]) -> lambent_e2e::Run {
    Lambent::new().invoke(&Fixture::RustOciArchive.reference(), event, arguments)
}

#[test]
fn privileged_cpu_is_in_proportion_to_memory() {
    if !privileged() {
        return;
    }
    for memory in [128_u32, 442, 884, 1_769] {
        let nominal = f64::from(memory) / 1_769.0;
        // Whatever else the machine does can only take CPU away: the best of a
        // few measurements is the one that tells what the limit is. None may
        // exceed it.
        let best = (0..3)
            .map(|_| measured_share(memory))
            .find(|share| (share / nominal - 1.0).abs() <= 0.02 || *share > nominal)
            .expect("a share within 2 % in one of three measurements");
        assert!(
            best / nominal - 1.0 <= 0.02,
            "{memory} MB: share {best:.4}, nominal {nominal:.4}"
        );
    }
}

fn measured_share(memory: u32) -> f64 {
    // Long enough that the ends (a started period at either) do not count.
    let wall_ms = if memory < 400 { 6_000 } else { 3_000 };
    let run = invoke(
        &json!({"action": "spinFor", "wallMs": wall_ms}),
        &["--memory", &memory.to_string(), "--timeout", "60"],
    );
    let payload = run.payload();
    let ms = |name: &str| payload[name].as_f64().expect("a number");
    ms("cpuMs") / ms("wallMs")
}

#[test]
fn privileged_cpu_throttling_is_reported() {
    if !privileged() {
        return;
    }
    let run = invoke(
        &json!({"action": "burn", "cpuMs": 100}),
        &["--timeout", "30"],
    );
    assert_eq!(run.status, 0, "{run:?}");
    let report = run.result()["report"].clone();
    let used = report["cpuUsedMs"].as_f64().unwrap();
    let throttled = report["cpuThrottledMs"].as_f64().unwrap();
    // What it was told to use, and what taking and answering the event takes.
    let around_ms = wait::patiently(Duration::from_millis(50)).as_secs_f64() * 1e3;
    assert!((100.0..100.0 + around_ms).contains(&used), "{report}");
    assert!(throttled > 500.0, "{report}");
}

/// However many compute, and wherever the host has CPUs to spare.
#[test]
fn privileged_many_threads_and_processes_get_no_more_than_one() {
    if !privileged() {
        return;
    }
    let code = format!(
        "import time\nend = time.monotonic() + 2\n\
         def burn():\n  while time.monotonic() < end: pass\n\
         for _ in range(16):\n  if os.fork() == 0:\n    burn()\n    os._exit(0)\n\
         threads = [threading.Thread(target=burn) for _ in range(16)]\n\
         for t in threads: t.start()\nfor t in threads: t.join()\n{}",
        script::DONE
    );
    for memory in [128_u32, 1_769] {
        let arguments = ["--memory", &memory.to_string(), "--timeout", "60"];
        let run: Run = script::start(&Lambent::new(), &code, &arguments)
            .wait_with_output()
            .expect("lambent ends")
            .into();
        assert_eq!(run.payload(), "done");
        let report = run.result()["report"].clone();
        let ms = |name: &str| report[name].as_f64().expect("a number");
        // What is left of the last period comes on top.
        let most = ms("durationMs") * f64::from(memory) / 1_769.0 * 1.05 + 20.0;
        assert!(ms("cpuUsedMs") <= most, "{memory} MB: {report}");
    }
}

#[test]
fn privileged_memory_is_the_functions_own_with_an_empty_tmp() {
    memory_is_the_functions_own(0);
}

#[test]
fn privileged_memory_is_the_functions_own_with_files_in_tmp() {
    // As few as would be too much if they were charged.
    memory_is_the_functions_own(40);
}

#[test]
fn privileged_memory_is_the_functions_own_with_a_half_full_tmp() {
    memory_is_the_functions_own(256);
}

#[test]
fn privileged_memory_is_the_functions_own_with_a_full_tmp() {
    memory_is_the_functions_own(512);
}

/// A function with 128 MB, so much of them in use, and so much in `/tmp`.
fn memory_is_the_functions_own(fill_mb: u64) {
    if !privileged() {
        return;
    }
    for (own_mb, lives) in [(100, true), (160, false)] {
        let lambent = Lambent::new();
        let image = Fixture::RustOciArchive.reference();
        let event = json!({"action": "sequence", "events": [
            {"action": "fillTmp", "mb": fill_mb},
            {"action": "allocate", "mb": own_mb},
        ]});
        let run = lambent.invoke(&image, &event, &["--timeout", &wait::seconds(60)]);
        let result = run.result();
        if lives {
            assert_eq!(
                run.status, 0,
                "{fill_mb} MB in /tmp, {own_mb} MB own: {run:?}"
            );
            assert_eq!(
                result["payload"][0]["writtenBytes"],
                fill_mb << 20,
                "{result}"
            );
            assert_eq!(result["report"]["tmpUsedMb"], fill_mb, "{result}");
            let used = result["report"]["maxMemoryUsedMb"]
                .as_u64()
                .expect("a number");
            assert!((100..=110).contains(&used), "{result}");
        } else {
            assert_eq!(
                run.status, 1,
                "{fill_mb} MB in /tmp, {own_mb} MB own: {run:?}"
            );
            assert_eq!(
                result["payload"]["errorType"], "Runtime.OutOfMemory",
                "{result}"
            );
            assert_eq!(result["functionError"], "Unhandled");
            assert_eq!(result["report"]["maxMemoryUsedMb"], 128);
        }
    }
}

#[test]
fn privileged_the_memory_used_is_measured() {
    if !privileged() {
        return;
    }
    let used = |event: Value| {
        let run = invoke(&event, &["--memory", "512", "--timeout", "30"]);
        assert_eq!(run.status, 0, "{run:?}");
        run.result()["report"]["maxMemoryUsedMb"].as_u64().unwrap()
    };
    let own = used(json!({"action": "counter"}));
    for mb in [16, 64, 200] {
        let more = used(json!({"action": "allocate", "mb": mb})) - own;
        assert!(more.abs_diff(mb) <= 2, "{mb} MB count as {more} MB");
    }
}

#[test]
fn privileged_mapped_files_of_tmp_are_not_memory() {
    if !privileged() {
        return;
    }
    // A model on /tmp that is mapped instead of read, larger than the memory.
    let code = r#"
import mmap, time
with open("/tmp/model", "wb") as f:
    for _ in range(200): f.write(os.urandom(1 << 20))
m = mmap.mmap(os.open("/tmp/model", os.O_RDONLY), 0, prot=mmap.PROT_READ)
x = sum(m[0::4096])
time.sleep(0.1)
"#;
    let lambent = Lambent::new();
    let arguments = ["--memory", "512", "--timeout", "60"];
    let code = format!("{code}{}", script::DONE);
    let run: Run = script::start(&lambent, &code, &arguments)
        .wait_with_output()
        .unwrap()
        .into();
    assert_eq!(run.payload(), "done");
    let report = run.result()["report"].clone();
    assert!(report["maxMemoryUsedMb"].as_u64().unwrap() < 60, "{report}");
    assert_eq!(report["tmpUsedMb"], 200, "{report}");
}

#[test]
fn privileged_as_many_cpus_are_seen_as_on_lambda() {
    if !privileged() {
        return;
    }
    let host = std::thread::available_parallelism().unwrap().get();
    for (memory, lambda) in [("128", 2), ("3009", 3), ("5308", 4), ("10240", 6)] {
        let payload = invoke(&json!({"action": "inspect"}), &["--memory", memory]).payload();
        let cpus = &payload["cpus"];
        let expected = host.min(lambda);
        for way in ["scheduler", "cpuinfo", "stat"] {
            assert_eq!(cpus[way], expected, "{memory} MB, {way}: {cpus}");
        }
        // The host's own list may have gaps.
        if lambda < host {
            assert_eq!(cpus["online"], format!("0-{}\n", lambda - 1), "{memory} MB");
        }
    }
}

/// What `/tmp` may hold beyond its size: room for ext4's own extents, of which older
/// kernels (6.1) need less.
const SLACK_BYTES: u64 = 64 << 10;

#[test]
fn privileged_tmp_has_exactly_the_configured_size() {
    if !privileged() {
        return;
    }
    for size_mb in [512_u64, 700] {
        let run = invoke(
            &json!({"action": "fillTmp", "mb": size_mb + 1}),
            &[
                "--tmp",
                &size_mb.to_string(),
                "--memory",
                "1769",
                "--timeout",
                &wait::seconds(60),
            ],
        );
        let payload = run.payload();
        let written = payload["writtenBytes"].as_u64().unwrap();
        let size = size_mb << 20;
        assert!(
            (size..=size + SLACK_BYTES).contains(&written),
            "{size_mb} MB: {payload}"
        );
        assert_eq!(payload["errno"], 28, "ENOSPC: {payload}");
    }
}

#[test]
fn privileged_the_process_is_lambdas() {
    if !privileged() {
        return;
    }
    let payload = invoke(&json!({"action": "inspect"}), &[]).payload();
    let text = payload.to_string();
    assert_eq!(payload["uid"], 993, "{text}");
    assert_eq!(payload["gid"], 990, "{text}");
    assert_eq!(payload["cwd"], "/var/task", "{text}");
    assert_eq!(payload["devShm"], false, "{text}");
    assert_eq!(
        payload["tmp"],
        json!({"mode": "1777", "uid": 0, "gid": 0}),
        "{text}"
    );
    assert_eq!(
        payload["nofile"],
        json!({"soft": 1024, "hard": 1024}),
        "{text}"
    );
    let status = &payload["status"];
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}: {text}");
    }
    assert_eq!(status["NoNewPrivs"], "1", "{text}");
    assert_eq!(status["Seccomp"], "2", "{text}");
    // EROFS is 30.
    assert_eq!(
        payload["rootWrite"],
        json!({"writable": false, "errno": 30}),
        "{text}"
    );
    // Init and the runtime: nobody else can be seen.
    assert_eq!(payload["pids"], json!([1, 2]), "{text}");
    assert_eq!(payload["interfaces"], json!(["lo"]), "{text}");
}

#[test]
fn privileged_descriptors_and_processes_are_limited() {
    if !privileged() {
        return;
    }
    let payload = invoke(&json!({"action": "open", "count": 2_000}), &[]).payload();
    let opened = payload["opened"].as_u64().unwrap();
    assert!((1_000..1_024).contains(&opened), "{payload}");
    // EMFILE is 24, EAGAIN is 11.
    assert_eq!(payload["errno"], 24, "{payload}");
    let run = invoke(
        &json!({"action": "fork", "count": 2_000}),
        &["--memory", "512", "--timeout", "30"],
    );
    let payload = run.payload();
    let started = payload["started"].as_u64().unwrap();
    assert!((1_000..1_024).contains(&started), "{payload}");
    assert_eq!(payload["errno"], 11, "{payload}");
}

#[test]
fn privileged_without_loop_devices_the_error_is_stated() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let event = json!({"action": "fillTmp", "mb": 513}).to_string();
    let image = Fixture::RustOciArchive.reference();
    let timeout = wait::seconds(30);
    let arguments = ["--timeout", &timeout, "--payload", &event];
    let run = invoke_without_loop_devices(&lambent, &image, &arguments);
    let payload = run.payload();
    assert_eq!(payload["errno"], 28, "{run:?}");
    assert_eq!(payload["writtenBytes"], 512 << 20, "{run:?}");
    let warning = run.result()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("512 MB"), "{warning}");
    assert!(run.stderr.contains(&warning), "{run:?}");
}

/// On a host (or in a container) that offers no loop devices, by a mount namespace.
fn invoke_without_loop_devices(lambent: &Lambent, image: &str, arguments: &[&str]) -> Run {
    let script = "mount --bind /dev/null /dev/loop-control && exec \"$@\"";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(lambent_e2e::program())
        .args(["invoke", image, "--output", "json"])
        .args(arguments)
        .env("LAMBENT_ROOT", lambent.root())
        .output()
        .expect("lambent runs");
    output.into()
}

/// Of each kind what `/tmp` takes, one after the other.
const INODES: &str = r#"
def fill(make):
    n = 0
    try:
        while True:
            make(f"/tmp/d/{n}")
            n += 1
    except OSError as e:
        return [n, e.errno]
def touch(path): os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
def handle(n):
    import shutil
    touch("/tmp/x")
    answer = {}
    for name, make in [
        ("directories", os.mkdir),
        ("links", lambda path: os.link("/tmp/x", path)),
        ("symlinks", lambda path: os.symlink("x" * 4000, path)),
        ("files", touch),
    ]:
        os.mkdir("/tmp/d")
        answer[name] = fill(make)
        if name != "files": shutil.rmtree("/tmp/d")
    return answer
"#;

/// A tmpfs keeps in memory what it is, and not only what it holds.
#[test]
fn privileged_without_loop_devices_tmp_has_as_few_inodes() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::PythonOciArchive.reference();
    let code = script::serving(INODES);
    let ours = ["--memory", "1769", "--timeout", "120", "--payload", "{}"];
    let arguments = [&code.each_ref().map(String::as_str), &ours[..]].concat();
    let run = invoke_without_loop_devices(&lambent, &image, &arguments);
    let payload = run.payload();
    for kind in ["directories", "links", "symlinks", "files"] {
        let count = payload[kind][0].as_u64().expect("a number");
        // One for each 16 KiB, as an ext4 has them.
        assert!((32_000..=32_768).contains(&count), "{kind}: {payload}");
        assert_eq!(payload[kind][1], 28, "ENOSPC: {payload}");
    }
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_a_function_starts_with_default_signals() {
    if !privileged() {
        return;
    }
    // Rust ignores SIGPIPE, and what it executes would inherit that. The shell
    // changes nothing about it.
    let run = Lambent::new().invoke(
        &Fixture::ShellOciArchive.reference(),
        &json!({}),
        &[
            "--entrypoint",
            r#"["/bin/sh", "-c", "while read -r line; do echo $line; done </proc/self/status; exit 1"]"#,
            "--cmd",
            "[]",
        ],
    );
    let logs = run.result()["logs"].as_str().unwrap().to_owned();
    for set in ["SigIgn", "SigBlk"] {
        let line = format!("{set}: 0000000000000000\n");
        assert!(logs.contains(&line), "{logs}");
    }
}

/// A function whose slice is longer comes after whoever wakes up while it runs.
#[test]
fn privileged_slices_are_longer_for_smaller_functions() {
    if !privileged() {
        return;
    }
    // `sched_attr` has its `runtime` after 24 bytes.
    let code = format!(
        "libc = ctypes.CDLL(None, use_errno=True)\n\
         attributes = ctypes.create_string_buffer(48)\n\
         answer['failed'] = libc.syscall({}, 0, attributes, 48, 0)\n\
         answer['ns'] = int.from_bytes(attributes.raw[24:32], 'little')",
        libc::SYS_sched_getattr
    );
    let slice = |memory: &str| {
        let answer = script::findings(&code, &["--memory", memory]);
        assert_eq!(answer["failed"], 0, "{answer}");
        answer["ns"].as_u64().unwrap()
    };
    let (small, large) = (slice("128"), slice("1769"));
    // Kernels before 6.12 have one slice for all, and tell of none.
    assert_eq!(
        small - large,
        if large == 0 { 0 } else { (1_769 - 128) * 100 }
    );
}
