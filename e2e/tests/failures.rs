//! What fails on Lambda fails here, with Lambda's words.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use lambent_e2e::fixtures::{Fixture, demo_function};
use lambent_e2e::{Lambent, Run, privileged, wait};
use lambent_images::Platform;
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use serde_json::{Value, json};

fn rust(event: &Value, arguments: &[&str]) -> Run {
    Lambent::new().invoke(&Fixture::RustOciArchive.reference(), event, arguments)
}

fn python(event: &Value, arguments: &[&str]) -> Run {
    let arguments = [&["--memory", "512"], arguments].concat();
    Lambent::new().invoke(&Fixture::PythonOciArchive.reference(), event, &arguments)
}

fn error(run: &Run) -> (String, String) {
    assert_eq!(run.status, 1, "{run:?}");
    let result = run.result();
    assert_eq!(result["functionError"], "Unhandled", "{run:?}");
    assert_eq!(result["statusCode"], 200, "{run:?}");
    let text = |key: &str| {
        result["payload"][key]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let id = result["requestId"].as_str().unwrap();
    (text("errorType"), text("errorMessage").replace(id, "<id>"))
}

fn last_line(run: &Run) -> String {
    run.stderr.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn privileged_a_handler_error_is_passed_on() {
    if !privileged() {
        return;
    }
    let run = python(
        &json!({"action": "raise", "message": "no such order"}),
        &["--timeout", "30"],
    );
    let (_, message) = error(&run);
    assert_eq!(message, "no such order");
    assert!(run.result()["payload"]["stackTrace"].is_array(), "{run:?}");
    assert!(!last_line(&run).contains("Status:"), "{run:?}");
}

#[test]
fn privileged_a_timeout() {
    if !privileged() {
        return;
    }
    let run = rust(
        &json!({"action": "sleep", "ms": 60_000}),
        &["--timeout", "1"],
    );
    assert_eq!(
        error(&run),
        (
            "Sandbox.Timedout".to_owned(),
            "RequestId: <id> Error: Task timed out after 1.00 seconds".to_owned()
        )
    );
    let report = last_line(&run);
    assert!(report.contains("\tDuration: 1000.00 ms\t"), "{report}");
    assert!(report.ends_with("\tStatus: timeout"), "{report}");
}

#[test]
fn privileged_after_a_timeout_memory_is_new_and_tmp_is_kept() {
    if !privileged() {
        return;
    }
    // Each round reads what the one before it wrote, then hangs.
    let event = json!({"action": "sequence", "log": true, "events": [
        {"action": "counter"},
        {"action": "readTmp", "name": "kept"},
        {"action": "writeTmp", "name": "kept", "text": "from the round before"},
        {"action": "sleep", "ms": 600_000},
    ]});
    let arguments = ["--timeout", &wait::seconds(1), "--repeat", "3"];
    let run = rust(&event, &arguments);
    assert_eq!(run.status, 1, "{run:?}");
    let results = run.results();
    assert_eq!(results.len(), 3);
    for (round, result) in results.iter().enumerate() {
        let logs = result["logs"].as_str().unwrap();
        assert!(logs.contains("{\"count\":1}\n"), "{logs}");
        assert_eq!(logs.contains("from the round before"), round > 0, "{logs}");
        // Later rounds initialise inside the invocation.
        assert_eq!(
            result["report"]["initDurationMs"].is_null(),
            round > 0,
            "{result}"
        );
    }
}

#[test]
fn privileged_exits_and_signals() {
    if !privileged() {
        return;
    }
    for (code, expected) in [
        (0, "Runtime exited without providing a reason"),
        (127, "Runtime exited with error: exit status 127"),
    ] {
        let run = rust(&json!({"action": "exit", "code": code}), &[]);
        let expected = format!("RequestId: <id> Error: {expected}");
        assert_eq!(error(&run), ("Runtime.ExitError".to_owned(), expected));
        assert!(
            last_line(&run).ends_with("\tStatus: error\tError Type: Runtime.ExitError"),
            "{run:?}"
        );
    }
    // As process 1 it could not even abort itself.
    let run = rust(&json!({"action": "crash"}), &[]);
    assert_eq!(
        error(&run).1,
        "RequestId: <id> Error: Runtime exited with error: signal: aborted"
    );
}

#[test]
fn privileged_an_import_error_is_the_runtimes_own_and_initialised_twice() {
    if !privileged() {
        return;
    }
    let run = python(&json!({}), &["--cmd", "missing.handler", "--timeout", "30"]);
    let (error_type, message) = error(&run);
    assert_eq!(error_type, "Runtime.ImportModuleError", "{run:?}");
    assert!(message.contains("No module named 'missing'"), "{message}");
    let reports: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("INIT_REPORT"))
        .collect();
    assert_eq!(reports.len(), 2, "{run:?}");
    for (report, phase) in reports.iter().zip(["init", "invoke"]) {
        let end = format!("\tPhase: {phase}\tStatus: error\tError Type: Runtime.ImportModuleError");
        assert!(report.ends_with(&end), "{report}");
    }
}

#[test]
fn privileged_an_entry_point_that_is_not_there() {
    if !privileged() {
        return;
    }
    for (entry_point, reason) in [
        ("/nowhere", "no such file or directory"),
        ("/var/task", "permission denied"),
        ("nowhere", "executable file not found in $PATH"),
    ] {
        let run = rust(&json!({}), &["--entrypoint", entry_point]);
        assert_eq!(run.status, 3, "{run:?}");
        let result = run.result();
        assert_eq!(
            result["payload"]["errorType"], "Runtime.InvalidEntrypoint",
            "{run:?}"
        );
        let diagnostic = last_line(&run);
        assert!(
            diagnostic.starts_with("lambent: the entry point"),
            "{diagnostic}"
        );
        assert!(diagnostic.contains(reason), "{diagnostic}");
        assert!(diagnostic.contains(entry_point), "{diagnostic}");
    }
}

/// The kernel says of the script that there is no such file.
#[test]
fn privileged_an_interpreter_that_is_not_there_has_its_name() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let file = lambent.root().join("image.tar");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/run"])
        .layer(LayerBuilder::new().file("run", 0o755, "#!/bin/bash\necho\n"))
        .write_oci_archive(&file, "latest")
        .unwrap();
    let run = lambent.invoke(file.to_str().unwrap(), &json!({}), &[]);
    assert_eq!(run.status, 3, "{run:?}");
    assert_eq!(
        run.result()["payload"]["errorType"],
        "Runtime.InvalidEntrypoint",
        "{run:?}"
    );
    let diagnostic = last_line(&run);
    for part in [
        "/run: no such file",
        "there is no /bin/bash, which /run asks for",
    ] {
        assert!(diagnostic.contains(part), "{diagnostic}");
    }
}

/// I-K05: what no runtime is ends at once, as an entry point that cannot be run.
#[test]
fn privileged_entry_points_that_are_no_programs() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let file = lambent.root().join("image.tar");
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let mut many = words(&["/run"]);
    many.resize(100_000, "x".to_owned());
    for (entry_point, reason) in [
        (
            words(&["/fifo"]),
            "permission denied: /fifo is no regular file",
        ),
        (
            words(&["/directory"]),
            "permission denied: /directory is no regular file",
        ),
        (words(&["/dev/stdin"]), "permission denied"),
        (words(&["/proc/self/exe"]), "no such file or directory"),
        (words(&["/proc/self/fd/1"]), "permission denied"),
        (words(&["/script-of-itself"]), "needs too many interpreters"),
        (
            words(&["/script-of-the-executor"]),
            "no such file or directory",
        ),
        (
            words(&["/crlf"]),
            r"there is no /run\r, which /crlf asks for",
        ),
        (
            words(&["/empty"]),
            "/empty is neither a program nor a script",
        ),
        (words(&["/run/"]), "not a directory"),
        (words(&[""]), "no command"),
        (
            words(&["/run", &"x".repeat(140_000)]),
            "argument list too long",
        ),
        (many, "Lambda's limit for container settings is 16 KB"),
    ] {
        ImageBuilder::new(Platform::host())
            .entrypoint(&entry_point)
            .layer(LayerBuilder::raw(fifo()))
            .layer(
                LayerBuilder::new()
                    .directory("directory", 0o755)
                    .file("script-of-itself", 0o755, "#!/script-of-itself\n")
                    .file("script-of-the-executor", 0o755, "#!/proc/self/exe\n")
                    .file("crlf", 0o755, "#!/run\r\n")
                    .file("empty", 0o755, "")
                    .file_from("run", 0o755, demo_function()),
            )
            .write_oci_archive(&file, "latest")
            .unwrap();
        let what = &entry_point[0];
        let run = lambent.invoke(file.to_str().unwrap(), &json!({}), &[]);
        assert_eq!(run.status, 3, "{what}: {}", run.stderr);
        assert_eq!(
            run.result()["payload"]["errorType"],
            "Runtime.InvalidEntrypoint",
            "{what}: {}",
            run.stderr
        );
        let diagnostic = last_line(&run);
        let begins = diagnostic.starts_with("lambent: the entry point cannot be run: ");
        assert!(
            begins && diagnostic.contains(reason),
            "{what}: {diagnostic}"
        );
    }
}

/// A layer with a pipe of which nobody writes the other end.
fn fifo() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("fifo").unwrap();
    header.set_entry_type(tar::EntryType::Fifo);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(512 * 3, 0);
    bytes
}

#[test]
fn privileged_a_working_directory_that_is_not_there() {
    if !privileged() {
        return;
    }
    let run = rust(&json!({}), &["--workdir", "/nowhere"]);
    assert_eq!(run.status, 3, "{run:?}");
    assert_eq!(
        run.result()["payload"]["errorType"],
        "Runtime.InvalidWorkingDir"
    );
    assert!(last_line(&run).contains("/nowhere"), "{run:?}");
}
