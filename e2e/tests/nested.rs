//! Lambent in containers without privileges, and the recipes for CI systems. The image
//! is made from the repository's Dockerfile; what each container gets and does not get
//! is the README's table, and what `lambent doctor` says in it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::process::Command;

use lambent_e2e::fixtures::{self, Fixture};
use lambent_e2e::nested::Nested;
use lambent_e2e::{Run, privileged, program};
use serde_json::{Value, json};

/// What lets a container without privileges have a new `/proc`.
const UNMASKED: &[&str] = &["--security-opt", "unmask=ALL"];

const EVENT: &str = r#"{"action": "inspect"}"#;

/// The image, where containers can be made.
fn nested() -> Option<Nested> {
    if !privileged() {
        return None;
    }
    if !Nested::is_possible() {
        skipped("podman is not installed (`make deps`)");
        return None;
    }
    Some(Nested::build().unwrap())
}

#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// What `lambent doctor` says of a container.
fn doctor(nested: &Nested, options: &[&str]) -> Value {
    let run = nested.run(options, &["doctor", "--output", "json"]);
    let told: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let functions_run = told["functionsRun"].as_bool().unwrap();
    assert_eq!(run.status, if functions_run { 0 } else { 4 }, "{told:#}");
    told
}

fn finding<'a>(told: &'a Value, id: &str) -> &'a Value {
    let findings = told["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["id"] == id)
        .unwrap_or_else(|| panic!("no finding {id}: {told:#}"))
}

fn invoke(nested: &Nested, options: &[&str]) -> Run {
    let image = Nested::reference(Fixture::RustOciArchive);
    nested.run(
        options,
        &[
            "invoke",
            &image,
            "--payload",
            EVENT,
            "--output",
            "json",
            "--timeout",
            "30",
        ],
    )
}

#[test]
fn privileged_containers_are_told_what_they_lack() {
    let Some(nested) = nested() else { return };
    // A profile as Docker's: no user namespaces.
    let profile = tempfile::NamedTempFile::new().unwrap();
    let denied = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
    ]});
    fs::write(profile.path(), denied.to_string()).unwrap();
    let seccomp = format!("seccomp={}", profile.path().display());
    // (options, what is fatal there, what it says, what mends it)
    let cases: [(&[&str], &str, &str, &str); 4] = [
        (
            &[],
            "mounts",
            "mount proc: Operation not permitted",
            "unmask=ALL",
        ),
        (
            &["--user", "1000", "--env", "HOME=/tmp"],
            "mounts",
            "mount proc: Operation not permitted",
            "unmask=ALL",
        ),
        (
            &["--cap-drop=ALL", "--security-opt", "unmask=ALL"],
            "user-namespaces",
            "write uid_map: Operation not permitted",
            "",
        ),
        (
            &["--security-opt", &seccomp, "--security-opt", "unmask=ALL"],
            "user-namespaces",
            "make a user namespace: Operation not permitted",
            "",
        ),
    ];
    for (options, id, says, mends) in cases {
        let told = doctor(&nested, options);
        assert_eq!(told["functionsRun"], false, "{options:?}: {told:#}");
        let fatal = finding(&told, id);
        assert_eq!(fatal["status"], "fatal", "{options:?}: {fatal:#}");
        let found = fatal["found"].as_str().unwrap();
        assert!(found.contains(says), "{options:?}: {fatal:#}");
        let remedy = fatal["remedy"].as_str().unwrap();
        assert!(remedy.contains(mends), "{options:?}: {fatal:#}");
        let run = invoke(&nested, options);
        assert_eq!(run.status, 4, "{options:?}: {run:?}");
        // What needs no rights works everywhere.
        let image = Nested::reference(Fixture::RustOciArchive);
        let run = nested.run(options, &["validate", &image]);
        assert_eq!(run.status, 0, "{options:?}: {run:?}");
    }
}

#[test]
fn privileged_functions_run_in_containers_without_privileges() {
    let Some(nested) = nested() else { return };
    // (further options, whether all files belong to one id)
    let cases: [(&[&str], bool); 3] = [
        (&[], false),
        // Nothing but what makes a user namespace of the container's own ids.
        (
            &["--cap-drop=ALL", "--cap-add=SETUID,SETGID,SETFCAP"],
            false,
        ),
        // The volume's directory is root's, so the state is in another.
        (&["--user", "1000", "--env", "HOME=/tmp"], true),
    ];
    for (options, one_id) in cases {
        let options = [UNMASKED, options].concat();
        let told = doctor(&nested, &options);
        assert_eq!(told["functionsRun"], true, "{options:?}: {told:#}");
        assert_eq!(told["host"]["place"], "podman", "{told:#}");
        let owners = finding(&told, "file-owners")["status"].as_str().unwrap();
        assert_eq!(owners, if one_id { "degraded" } else { "enforced" });
        let run = invoke(&nested, &options);
        assert_eq!(run.status, 0, "{options:?}: {run:?}");
        let result = run.result();
        let seen = &result["payload"];
        assert_eq!([&seen["uid"], &seen["gid"]], [993, 990], "{seen:#}");
        assert_eq!(seen["interfaces"], json!(["lo"]), "{seen:#}");
        assert_eq!(seen["rootWrite"]["writable"], false, "{seen:#}");
        // Each gap that the doctor sees is a warning, and the other way round.
        let degraded: Vec<_> = told["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["status"] == "degraded")
            .filter(|finding| {
                // Of a function of the largest size, which this one is not.
                !["cpus", "memory", "host-memory", "disk-space"]
                    .contains(&finding["id"].as_str().unwrap())
            })
            .map(|finding| finding["meaning"].as_str().unwrap().to_owned())
            .collect();
        let warnings = result["warnings"].as_array().unwrap();
        assert_eq!(
            warnings.len(),
            degraded.len(),
            "{warnings:#?} {degraded:#?}"
        );
        for (warning, meaning) in warnings.iter().zip(&degraded) {
            let warning = warning.as_str().unwrap();
            assert!(warning.ends_with(meaning), "{warning}: {meaning}");
        }
    }
}

/// A YAML file as JSON, one value for each document.
fn yaml(path: &str) -> Vec<Value> {
    let path = fixtures::workspace().join(path);
    let code = "import json, sys, yaml\n\
                print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = Command::new("python3")
        .args(["-c", code])
        .arg(path)
        .output()
        .unwrap();
    let run: Run = output.into();
    assert_eq!(run.status, 0, "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn privileged_the_action_of_githubs_workflows_does_its_steps() {
    if !privileged() {
        return;
    }
    let action = yaml("action.yml").remove(0);
    let place = tempfile::tempdir().unwrap();
    let image = Fixture::RustOciArchive.reference();
    // What a workflow says, and what the runner makes of it.
    let given = [
        ("image", image.as_str()),
        ("payload", r#"{"action": "echo", "text": "hello"}"#),
        ("arguments", "--memory\n512\n--timeout\n30"),
        ("binary", program().to_str().unwrap()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inputs = action["inputs"].as_object().unwrap();
    for (name, _) in &given {
        assert!(inputs.contains_key(name), "{name}: {inputs:#?}");
    }
    let value = |name: &str| -> String {
        let given = given.iter().find(|(known, _)| known == name);
        given.map_or_else(
            || inputs[name]["default"].as_str().unwrap().to_owned(),
            |(_, value)| value.clone(),
        )
    };
    let (path, output) = (place.path().join("path"), place.path().join("output"));
    let mut ids = vec![];
    for step in action["runs"]["steps"].as_array().unwrap() {
        assert_eq!(step["shell"], "bash");
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c"])
            .arg(step["run"].as_str().unwrap())
            .env("GITHUB_ACTION_PATH", fixtures::workspace())
            .env("GITHUB_PATH", &path)
            .env("GITHUB_OUTPUT", &output)
            .env("RUNNER_TEMP", place.path())
            .env("LAMBENT_ROOT", place.path().join("state"));
        for (variable, expression) in step["env"].as_object().into_iter().flatten() {
            let name = expression
                .as_str()
                .and_then(|text| text.strip_prefix("${{ inputs.")?.strip_suffix(" }}"))
                .unwrap_or_else(|| panic!("{expression}"));
            command.env(variable, value(name));
        }
        let run: Run = command.output().unwrap().into();
        assert_eq!(run.status, 0, "{step:#}: {run:?}");
        ids.push(step["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids, ["install", "doctor", "validate", "invoke"]);
    let said = fs::read_to_string(&output).unwrap();
    let response = said.trim().strip_prefix("response=").unwrap();
    let response: Value = serde_json::from_slice(&fs::read(response).unwrap()).unwrap();
    assert_eq!(response["event"]["text"], "hello", "{response}");
    assert_eq!(action["outputs"].as_object().unwrap().len(), 1);
    let directory = fs::read_to_string(&path).unwrap();
    assert!(
        std::path::Path::new(directory.trim())
            .join("lambent")
            .is_file()
    );
}

#[test]
fn privileged_the_job_of_gitlab_does_its_script() {
    let Some(nested) = nested() else { return };
    let jobs = yaml("runtime/ci/gitlab-ci.yml").remove(0);
    let image = "--env=FUNCTION=/fixtures/rust.oci.tar";
    let payload = r#"--env=PAYLOAD={"action": "counter"}"#;
    let options = [UNMASKED, &[image, payload]].concat();
    for (job, says) in [
        ("lambent-validate", ""),
        ("lambent-invoke", r#"{"count":1}"#),
    ] {
        assert_eq!(jobs[job]["extends"], ".lambent");
        let lines: Vec<_> = jobs[job]["script"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        let run = nested.shell(&options, &lines.join("\n"));
        assert_eq!(run.status, 0, "{job}: {run:?}");
        assert!(run.stdout.contains(says), "{job}: {run:?}");
    }
}

#[test]
fn privileged_the_pods_of_kubernetes_run_what_they_say() {
    let Some(nested) = nested() else { return };
    let jobs = yaml("runtime/ci/kubernetes.yaml");
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        let pod = &job["spec"]["template"]["spec"];
        let volumes: Vec<_> = pod["volumes"].as_array().unwrap().iter().collect();
        let container = &pod["containers"][0];
        for mount in container["volumeMounts"].as_array().unwrap() {
            let name = &mount["name"];
            assert!(
                volumes.iter().any(|volume| volume["name"] == *name),
                "{name}"
            );
        }
    }
    // What the pod without rights asks for is what Podman calls unmasked.
    let pod = &jobs[1]["spec"]["template"]["spec"];
    assert_eq!(pod["hostUsers"], false);
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["procMount"], "Unmasked");
    let arguments: Vec<_> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect();
    let file = fixtures::path(Fixture::ShellOciArchive);
    let file = format!("--volume={}:/images/function.tar:ro", file.display());
    let run = nested.run(&[UNMASKED, &[&file]].concat(), &arguments);
    // The sample takes no empty event: that it says so is its answer.
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stderr.contains("START RequestId: "), "{run:?}");
}
