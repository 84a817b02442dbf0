//! An ordinary user's functions: what they get as root's do, what not, and that
//! each of the latter is said. The table in the README is measured here.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::os::unix::fs::MetadataExt;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::ordinary::{self, Ids};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, Run, boto3, privileged, script, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const BOTH: [Ids; 2] = [Ids::Subordinate, Ids::Single];

/// Interpreters on a busy machine may want more than Lambda's three seconds.
const PATIENT: &[&str] = &["--memory", "512", "--timeout", "30"];

/// The kernel's numbers for errors, as the sample function tells them.
const EAGAIN: i32 = 11;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// What warnings are about, by words of each.
const MEMORY: &str = "may use more memory than it has on Lambda";
const CPU: &str = "has whole CPUs";
const PROCESSES: &str = "by RLIMIT_NPROC, for all environments";
const FREEZER: &str = "cannot be frozen";
const OWNERS: &str = "one id for all files";

/// What an ordinary user is warned of where nothing is delegated, in this order.
fn expected_warnings(ids: Ids) -> &'static [&'static str] {
    match ids {
        Ids::Subordinate => &[MEMORY, CPU, PROCESSES, FREEZER],
        Ids::Single => &[OWNERS, MEMORY, CPU, FREEZER],
    }
}

#[track_caller]
fn assert_warned(warnings: &Value, ids: Ids) {
    let warnings = warnings.as_array().unwrap();
    let expected = expected_warnings(ids);
    assert_eq!(warnings.len(), expected.len(), "{ids:?}: {warnings:#?}");
    for (warning, words) in warnings.iter().zip(expected) {
        assert!(warning.as_str().unwrap().contains(words), "{warning}");
    }
}

#[track_caller]
fn assert_nothing_left(lambent: &Lambent) {
    wait::until("nothing of the user runs", || {
        ordinary::processes().is_empty()
    });
    let state = lambent.state();
    let left = Leftovers::of(&state, &leftovers::services(&state));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_every_runtime_answers_an_ordinary_user() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        for fixture in [
            Fixture::RustOciArchive,
            Fixture::PythonOciArchive,
            Fixture::NodeDockerArchive,
        ] {
            let arguments = [PATIENT, &["--repeat", "2"]].concat();
            let event = json!({"action": "counter"});
            let run = lambent.invoke(&lambent.reference(fixture), &event, &arguments);
            assert_eq!(run.status, 0, "{ids:?}: {run:?}");
            let results = run.results();
            for (index, result) in results.iter().enumerate() {
                assert_eq!(result["payload"]["count"], index + 1, "{fixture}: {result}");
                assert_eq!(result["coldStart"], index == 0, "{fixture}");
                let logs = result["logs"].as_str().unwrap();
                for line in ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "] {
                    assert!(logs.contains(line), "{logs}");
                }
                // The kernel counts the pages of so small a process too roughly.
                let report = &result["report"];
                let used = report["maxMemoryUsedMb"].as_u64().unwrap();
                assert!(used > 0 || fixture == Fixture::RustOciArchive, "{report}");
            }
            assert_eq!(results.len(), 2);
            assert_warned(&results[0]["warnings"], ids);
            // Each is said once, however often the function is invoked.
            for words in expected_warnings(ids) {
                assert_eq!(run.stderr.matches(words).count(), 1, "{run:?}");
            }
        }
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_the_surroundings_are_lambdas() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let image = lambent.reference(Fixture::RustOciArchive);
        let seen = lambent
            .invoke(&image, &json!({"action": "inspect"}), PATIENT)
            .payload();
        assert_eq!(seen["uid"], 993, "{seen:#}");
        assert_eq!(seen["gid"], 990, "{seen:#}");
        assert_eq!(seen["groups"], json!([]), "{seen:#}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(seen["status"][set], "0000000000000000", "{set}: {seen:#}");
        }
        assert_eq!(seen["status"]["NoNewPrivs"], "1");
        assert_eq!(seen["status"]["Seccomp"], "2");
        assert_eq!(seen["nofile"], json!({"soft": 1024, "hard": 1024}));
        assert_eq!(seen["rootWrite"]["writable"], false, "{seen:#}");
        assert_eq!(seen["rootWrite"]["errno"], EROFS, "{seen:#}");
        assert_eq!(seen["devShm"], false);
        assert_eq!(seen["tmp"]["mode"], "1777", "{seen:#}");
        assert_eq!(seen["interfaces"], json!(["lo"]), "{seen:#}");
        let root = Lambent::new();
        let of_root = root
            .invoke(
                &Fixture::RustOciArchive.reference(),
                &json!({"action": "inspect"}),
                PATIENT,
            )
            .payload();
        let descriptors = |seen: &Value| -> Vec<String> {
            seen["fds"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(descriptors(&seen), descriptors(&of_root), "{ids:?}");
        for same in ["dev", "cwd", "umask", "hostname", "pids", "cpus"] {
            assert_eq!(seen[same], of_root[same], "{ids:?}: {same}");
        }
    }
}

/// What a function does to its limits, and what came of it.
fn limits(lambent: &Lambent) -> Run {
    let event = json!({"action": "sequence", "events": [
        {"action": "fillTmp", "mb": 600},
        {"action": "fork", "count": 2000},
        {"action": "burn", "cpuMs": 200},
        {"action": "allocate", "mb": 100},
    ]});
    let image = lambent.reference(Fixture::RustOciArchive);
    lambent.invoke(&image, &event, &["--timeout", &wait::seconds(60)])
}

/// What becomes of a function with 128 MB that has 200 for a moment.
#[track_caller]
fn assert_out_of_memory(lambent: &Lambent) {
    let event = json!({"action": "sequence", "events": [
        {"action": "allocate", "mb": 200, "keep": true},
        {"action": "sleep", "ms": 500},
    ]});
    let image = lambent.reference(Fixture::RustOciArchive);
    let run = lambent.invoke(&image, &event, &["--timeout", &wait::seconds(60)]);
    assert_eq!(run.status, 1, "{run:?}");
    let result = run.result();
    let error = &result["payload"]["errorType"];
    assert_eq!(error, "Runtime.OutOfMemory", "{result}");
    assert_eq!(result["report"]["maxMemoryUsedMb"], 128, "{result}");
}

#[test]
fn privileged_limits_of_root_and_of_ordinary_users() {
    if !privileged() {
        return;
    }
    let root = limits(&Lambent::new()).result();
    assert_out_of_memory(&Lambent::new());
    assert!(
        root["report"]["cpuThrottledMs"].as_f64().unwrap() > 0.0,
        "{root}"
    );
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let run = limits(&lambent);
        assert_eq!(run.status, 0, "{ids:?}: {run:?}");
        let result = run.result();
        let done = &result["payload"];
        assert_eq!(done[0]["writtenBytes"], 512_u64 << 20, "{ids:?}: {done:#}");
        assert_eq!(done[0]["errno"], ENOSPC, "{ids:?}: {done:#}");
        let started = done[1]["started"].as_u64().unwrap();
        assert!((900..1024).contains(&started), "{ids:?}: {done:#}");
        assert_eq!(done[1]["errno"], EAGAIN, "{ids:?}: {done:#}");
        assert_eq!(
            done[3]["allocatedBytes"],
            100_u64 << 20,
            "{ids:?}: {done:#}"
        );
        let report = &result["report"];
        assert_eq!(report["cpuThrottledMs"], 0.0, "{report}");
        assert!(report["cpuUsedMs"].as_f64().unwrap() >= 200.0, "{report}");
        assert_eq!(report["tmpUsedMb"], 512, "{report}");
        let used = report["maxMemoryUsedMb"].as_u64().unwrap();
        assert!((100..=128).contains(&used), "{report}");
        // Nothing limits it, and it is looked at.
        assert_out_of_memory(&lambent);
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_files_have_lambdas_rights() {
    if !privileged() {
        return;
    }
    let code = r#"
def refused(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
answer["owner"] = os.stat("/").st_uid
answer["root"] = refused(lambda: os.listdir("/root"))
answer["shared"] = refused(lambda: os.listdir("/usr"))
answer["own"] = refused(lambda: open("/tmp/own", "w"))
answer["its"] = [os.stat("/tmp/own").st_uid, os.stat("/tmp/own").st_gid]
answer["chown"] = refused(lambda: os.chown("/tmp/own", 0, 0))
"#;
    let expected = |owner: u32| {
        json!({"owner": owner, "root": "EACCES", "shared": null, "own": null,
            "its": [993, 990]})
    };
    let mut of_root = script::findings_of(&Lambent::new(), code, PATIENT);
    assert_eq!(of_root["chown"].take(), "EPERM");
    of_root.as_object_mut().unwrap().remove("chown");
    assert_eq!(of_root, expected(0));
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let mut seen = script::findings_of(&lambent, code, PATIENT);
        // The kernel has another word for it where there is no such user.
        let refused = seen["chown"].take();
        let expected_refusal = if lambent.has_one_id() {
            "EINVAL"
        } else {
            "EPERM"
        };
        assert_eq!(refused, expected_refusal, "{ids:?}");
        seen.as_object_mut().unwrap().remove("chown");
        let owner = if lambent.has_one_id() { 993 } else { 0 };
        assert_eq!(seen, expected(owner), "{ids:?}");
    }
}

#[test]
fn privileged_functions_of_ordinary_users_time_out_and_fail_as_others() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let image = lambent.reference(Fixture::RustOciArchive);
        for (event, error) in [
            (json!({"action": "sleep", "ms": 60_000}), "Sandbox.Timedout"),
            (json!({"action": "exit", "code": 3}), "Runtime.ExitError"),
            (json!({"action": "crash"}), "Runtime.ExitError"),
            (json!({"action": "raise", "message": "no"}), "DemoError"),
        ] {
            let run = lambent.invoke(&image, &event, &["--timeout", "2"]);
            assert_eq!(run.status, 1, "{ids:?}: {run:?}");
            assert_eq!(run.result()["payload"]["errorType"], error, "{run:?}");
        }
        let bad = ["--entrypoint", r#"["/nowhere"]"#];
        let run = lambent.invoke(&image, &json!({}), &bad);
        assert_eq!(run.status, 3, "{run:?}");
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_strict_refuses_what_an_ordinary_user_does_not_get() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let image = lambent.reference(Fixture::RustOciArchive);
        let run = lambent.invoke(&image, &json!({"action": "counter"}), &["--strict"]);
        assert_eq!(run.status, 4, "{ids:?}: {run:?}");
        assert_eq!(run.stdout, "");
        for words in expected_warnings(ids) {
            assert_eq!(run.stderr.matches(words).count(), 1, "{words}: {run:?}");
        }
        assert!(!run.stderr.contains("START"), "{run:?}");
    }
}

#[test]
fn privileged_killing_an_ordinary_users_command_leaves_nothing() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let image = lambent.reference(Fixture::RustOciArchive);
        let event = json!({"action": "sleep", "ms": 600_000});
        let mut child = lambent.start_invoke(&image, &event, &["--timeout", "600"]);
        // The function's children are the runtime's, which is init's.
        wait::until("the function runs", || {
            ordinary::processes()
                .iter()
                .any(|process| process.contains("NSpid:\t") && process.contains("\t2; "))
        });
        leftovers::kill(child.id());
        child.wait().unwrap();
        assert_nothing_left(&lambent);

        // And both at once, of which no cgroup is left to sweep.
        let mut child = lambent.start_invoke(&image, &event, &["--timeout", "600"]);
        wait::until("the launcher runs", || {
            !leftovers::children(child.id()).is_empty()
        });
        let launcher = leftovers::children(child.id())[0];
        leftovers::kill(child.id());
        leftovers::kill(launcher);
        child.wait().unwrap();
        assert_nothing_left(&lambent);

        let run = lambent.invoke(&image, &json!({"action": "counter"}), PATIENT);
        assert_eq!(run.payload()["count"], 1, "{run:?}");
    }
}

#[test]
fn privileged_an_ordinary_user_serves() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let image = lambent.reference(Fixture::RustOciArchive);
        let served = Served::start(&lambent, &[&image, "--name", "f", "--memory", "512"]);
        let code = r#"
import concurrent.futures
def call(event):
    return json.loads(c.invoke(FunctionName="f", Payload=json.dumps(event))["Payload"].read())
counts = [call({"action": "counter"})["count"] for _ in range(2)]
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    slept = list(pool.map(call, [{"action": "sleep", "ms": 500}] * 3))
print(json.dumps([counts, [one["sleptMs"] for one in slept]]))
"#;
        let run = boto3::run(&served.url(), code);
        assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
        let answer: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(answer, json!([[1, 2], [500, 500, 500]]), "{ids:?}");
        // What asks a service needs no namespace, and is the same user.
        let shown = lambent.run(["ps", "--output", "json"]);
        assert_eq!(shown.status, 0, "{shown:?}");
        let (status, log) = served.end(Signal::TERM);
        assert_eq!(status.code(), Some(0), "{log}");
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_an_ordinary_users_images_are_managed() {
    if !privileged() {
        return;
    }
    for ids in BOTH {
        let lambent = Lambent::of_ordinary_user(ids);
        let image = lambent.reference(Fixture::PythonDockerArchive);
        let run = lambent.run([
            "image",
            "load",
            &image["docker-archive:".len()..],
            "--name",
            "py",
        ]);
        assert_eq!(run.status, 0, "{run:?}");
        let run = lambent.run(["image", "verify"]);
        assert_eq!(run.status, 0, "{run:?}");
        let run = lambent.run(["validate", "py"]);
        assert!(run.stdout.contains("0 errors"), "{run:?}");
        let event = json!({"action": "counter"});
        let run = lambent.invoke("py", &event, PATIENT);
        assert_eq!(run.payload()["count"], 1, "{run:?}");
        // A bundle is the user's own, to the last file.
        let bundle = lambent.root().join("home/bundle");
        let run = lambent.run(["image", "unpack", "py", bundle.to_str().unwrap()]);
        assert_eq!(run.status, 0, "{run:?}");
        let owner = fs::metadata(bundle.join("rootfs/usr")).unwrap().uid();
        assert_eq!(owner, ordinary::USER);
        let run = lambent.run(["image", "rm", "py"]);
        assert_eq!(run.status, 0, "{run:?}");
        let layers = lambent.state().join("images/layers/sha256");
        assert_eq!(fs::read_dir(layers).unwrap().count(), 0, "{ids:?}");
    }
}
