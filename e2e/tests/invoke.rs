//! The main job: an image goes in, a real function answers.

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::{Lambent, privileged};
use serde_json::json;

/// Lambda's time-out for functions is 3 s by default; interpreters on a busy
/// machine may want more for their first invocation.
const PATIENT: &[&str] = &["--memory", "512", "--timeout", "30"];

#[test]
fn privileged_every_runtime_answers_from_every_kind_of_image() {
    if !privileged() {
        return;
    }
    for fixture in Fixture::ALL {
        let lambent = Lambent::new();
        let event = json!({"action": "echo", "text": "ü\u{1F980}\"\n"});
        let run = lambent.invoke(&fixture.reference(), &event, PATIENT);
        assert_eq!(run.payload()["event"], event, "{fixture}: {run:?}");
        let result = run.result();
        assert_eq!(result["coldStart"], true, "{fixture}");
        assert_eq!(result["statusCode"], 200, "{fixture}");
        assert!(result["functionError"].is_null(), "{fixture}");
        assert!(
            result["report"]["initDurationMs"].as_f64().unwrap() > 0.0,
            "{fixture}"
        );
    }
}

#[test]
fn privileged_a_bare_path_is_recognised() {
    if !privileged() {
        return;
    }
    for fixture in [
        Fixture::RustOciLayout,
        Fixture::RustOciArchive,
        Fixture::RustDockerArchive,
    ] {
        let path = lambent_e2e::fixtures::path(fixture);
        let run = Lambent::new().invoke(path.to_str().unwrap(), &json!({"action": "counter"}), &[]);
        assert_eq!(run.payload()["count"], 1, "{fixture}");
    }
}

#[test]
fn privileged_warm_invocations_reuse_the_process() {
    if !privileged() {
        return;
    }
    for fixture in [
        Fixture::RustOciArchive,
        Fixture::PythonOciArchive,
        Fixture::NodeDockerArchive,
        Fixture::ShellOciArchive,
    ] {
        let arguments = [PATIENT, &["--repeat", "3"]].concat();
        let run = Lambent::new().invoke(
            &fixture.reference(),
            &json!({"action": "counter"}),
            &arguments,
        );
        assert_eq!(run.status, 0, "{fixture}: {run:?}");
        let results = run.results();
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result["payload"]["count"], index + 1, "{fixture}: {result}");
            assert_eq!(result["coldStart"], index == 0, "{fixture}");
            assert_eq!(
                result["report"]["initDurationMs"].is_null(),
                index > 0,
                "{fixture}"
            );
        }
        assert_eq!(results.len(), 3);
    }
}

#[test]
fn privileged_a_second_run_uses_the_stored_image() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    for _ in 0..2 {
        let run = lambent.invoke(
            &Fixture::PythonOciArchive.reference(),
            &json!({"action": "echo"}),
            PATIENT,
        );
        assert_eq!(run.status, 0, "{run:?}");
    }
}

#[test]
fn privileged_standard_output_is_the_response_and_nothing_else() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let run = lambent.run([
        "invoke",
        &Fixture::RustOciArchive.reference(),
        "--payload",
        r#"{"action":"log","lines":["one","two"]}"#,
    ]);
    assert_eq!(run.status, 0, "{run:?}");
    assert_eq!(run.stdout, "{\"lines\":2}\n");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines[0].starts_with("START RequestId: "), "{run:?}");
    assert!(lines[0].ends_with(" Version: $LATEST"), "{run:?}");
    assert_eq!(&lines[1..3], ["one", "two"], "{run:?}");
    assert!(lines[3].starts_with("END RequestId: "), "{run:?}");
    let report: Vec<&str> = lines[4].split('\t').collect();
    let names: Vec<&str> = report
        .iter()
        .map(|field| field.split(':').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "REPORT RequestId",
            "Duration",
            "Billed Duration",
            "Memory Size",
            "Max Memory Used",
            "Init Duration",
            ""
        ],
        "{run:?}"
    );
    assert_eq!(lines.len(), 5, "{run:?}");
}

#[test]
fn privileged_the_environment_is_the_contracts() {
    if !privileged() {
        return;
    }
    let run = Lambent::new().invoke(
        &Fixture::RustOciArchive.reference(),
        &json!({"action": "env"}),
        &[
            "--env",
            "GREETING=hello=world",
            "--name",
            "my-function",
            "--memory",
            "256",
        ],
    );
    let environment = run.payload();
    for (name, value) in [
        ("GREETING", "hello=world"),
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/my-function"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_Image"),
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_REGION", "us-east-1"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
    ] {
        assert_eq!(environment[name], value, "{environment}");
    }
    for name in ["HOME", "TZ", "LD_LIBRARY_PATH", "_HANDLER", "LAMBENT_ROOT"] {
        assert!(environment.get(name).is_none(), "{name}: {environment}");
    }
}

#[test]
fn privileged_overrides_replace_the_images_settings() {
    if !privileged() {
        return;
    }
    let image = Fixture::PythonOciArchive.reference();
    let event = json!({"action": "inspect"});
    let arguments = [
        PATIENT,
        &[
            "--entrypoint",
            r#"["/usr/bin/python3","-m","awslambdaric"]"#,
            "--cmd",
            "app.handler",
            "--workdir",
            "/tmp",
            "--env",
            "PYTHONPATH=/var/task",
        ],
    ]
    .concat();
    let run = Lambent::new().invoke(&image, &event, &arguments);
    assert_eq!(run.payload()["cwd"], "/tmp", "{run:?}");
}
