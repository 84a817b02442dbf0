//! The life of an environment: what ends its phases, and what happens then.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::thread::sleep;
use std::time::Duration;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, Run, privileged, script};
use serde_json::{Value, json};

/// Runs Python in the place of a runtime.
fn run(code: &str, arguments: &[&str]) -> Run {
    let lambent = Lambent::new();
    let run = script::start_bare(&lambent, code, arguments)
        .wait_with_output()
        .unwrap()
        .into();
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
    run
}

/// The same, after the event was taken.
fn run_invoked(code: &str, arguments: &[&str]) -> Run {
    run(&format!("{}{code}", script::TAKE_EVENT), arguments)
}

fn error_type(run: &Run) -> String {
    assert_eq!(run.status, 1, "{run:?}");
    let result = run.result();
    assert_eq!(result["functionError"], "Unhandled", "{result}");
    result["payload"]["errorType"].as_str().unwrap().to_owned()
}

fn logs(run: &Run) -> String {
    run.result()["logs"].as_str().unwrap().to_owned()
}

#[test]
fn privileged_an_init_that_takes_ten_seconds_is_done_again_in_the_invocation() {
    if !privileged() {
        return;
    }
    // The first runtime sleeps for longer than INIT may take; /tmp stays, so the
    // second one knows.
    let code = format!(
        "import os, time\n\
         if not os.path.exists('/tmp/seen'):\n  open('/tmp/seen', 'w').close()\n  time.sleep(60)\n\
         {}{}",
        script::TAKE_EVENT,
        script::DONE
    );
    let run = run(&code, &["--timeout", "30"]);
    assert_eq!(run.payload(), "done");
    let logs = logs(&run);
    let line = logs.lines().next().unwrap();
    assert!(line.starts_with("INIT_REPORT Init Duration: 10"), "{logs}");
    assert!(line.contains("Phase: init\tStatus: timeout"), "{logs}");
    let report = run.result()["report"].clone();
    // A suppressed init counts as duration, not as init.
    assert!(report["initDurationMs"].is_null(), "{report}");
    assert!(
        !logs.lines().last().unwrap().contains("Init Duration"),
        "{logs}"
    );
}

#[test]
fn privileged_a_runtime_that_never_asks_times_out_as_a_function() {
    if !privileged() {
        return;
    }
    let run = run("import time\ntime.sleep(600)", &["--timeout", "2"]);
    assert_eq!(error_type(&run), "Sandbox.Timedout");
    assert!(
        run.result()["payload"]["errorMessage"]
            .as_str()
            .unwrap()
            .ends_with("Task timed out after 2.00 seconds"),
        "{run:?}"
    );
}

#[test]
fn privileged_an_init_error_is_the_answer() {
    if !privileged() {
        return;
    }
    let code = r#"
import http.client, json
c = http.client.HTTPConnection("127.0.0.1", 9001)
body = json.dumps({"errorMessage": "no model", "errorType": "ModelError", "stackTrace": []})
c.request("POST", "/2018-06-01/runtime/init/error", body,
          {"Lambda-Runtime-Function-Error-Type": "Runtime.ModelError"})
r = c.getresponse()
assert r.status == 202, r.status
r.read()
# What is not allowed any more.
c.request("GET", "/2018-06-01/runtime/invocation/next")
print(c.getresponse().status, flush=True)
raise SystemExit(1)
"#;
    let run = run(code, &["--timeout", "10"]);
    assert_eq!(error_type(&run), "ModelError");
    assert_eq!(run.result()["payload"]["errorMessage"], "no model");
    let logs = logs(&run);
    // Once in INIT, once more in the invocation.
    let reports: Vec<&str> = logs
        .lines()
        .filter(|line| line.starts_with("INIT_REPORT"))
        .collect();
    assert_eq!(reports.len(), 2, "{logs}");
    assert!(
        reports[0].contains("Phase: init\tStatus: error\tError Type: Runtime.ModelError"),
        "{logs}"
    );
    assert!(
        reports[1].contains("Phase: invoke\tStatus: error\tError Type: Runtime.ModelError"),
        "{logs}"
    );
}

#[test]
fn privileged_a_runtime_that_ends_in_init_is_named_twice() {
    if !privileged() {
        return;
    }
    let ended = "Runtime exited with error: ";
    for (code, message) in [
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(1)", &format!("{ended}exit status 1")),
        (
            "os.kill(os.getpid(), 11)",
            &format!("{ended}signal: segmentation fault"),
        ),
        ("os.abort()", &format!("{ended}signal: aborted")),
        (
            "os.execv('/bin/false', ['false'])",
            &format!("{ended}exit status 1"),
        ),
    ] {
        let run = run(&format!("import os\n{code}"), &["--timeout", "10"]);
        assert_eq!(error_type(&run), "Runtime.ExitError", "{code}");
        let found = run.result()["payload"]["errorMessage"].clone();
        let found = found.as_str().unwrap();
        assert!(
            found.ends_with(&format!(" Error: {message}")),
            "{code}: {found}"
        );
        let logs = logs(&run);
        let reports: Vec<&str> = logs
            .lines()
            .filter(|line| line.starts_with("INIT_REPORT"))
            .filter_map(|line| line.split_once("Phase: ").map(|(_, phase)| phase))
            .collect();
        let phase = |name| format!("{name}\tStatus: error\tError Type: Runtime.ExitError");
        assert_eq!(reports, [phase("init"), phase("invoke")], "{code}: {logs}");
    }
}

#[test]
fn privileged_what_becomes_another_program_times_out() {
    if !privileged() {
        return;
    }
    let code = "import os\nos.execv('/bin/sleep', ['sleep', '600'])";
    let run = run(code, &["--timeout", "1"]);
    assert_eq!(error_type(&run), "Sandbox.Timedout");
    let logs = logs(&run);
    let timed_out = "Phase: init\tStatus: timeout";
    assert!(logs.lines().next().unwrap().contains(timed_out), "{logs}");
}

#[test]
fn privileged_two_that_ask_share_the_events() {
    if !privileged() {
        return;
    }
    // Both wait before there is an event; each event is answered once, by whichever has
    // it, and the other one's answer is refused.
    let code = r#"
import http.client, os, time
first = os.fork() == 0
c = http.client.HTTPConnection("127.0.0.1", 9001)
while True:
    try:
        c.request("GET", "/2018-06-01/runtime/invocation/next")
        r = c.getresponse()
        i = r.headers["lambda-runtime-aws-request-id"]
        r.read()
        if r.status != 200: continue
        c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", '"done"')
        c.getresponse().read()
    except (OSError, http.client.HTTPException):
        c.close()
"#;
    let run = run(
        code,
        &["--repeat", "20", "--memory", "1769", "--timeout", "10"],
    );
    assert_eq!(run.status, 0, "{run:?}");
    let results = run.results();
    assert_eq!(results.len(), 20, "{run:?}");
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result["payload"], "done", "{number}: {run:?}");
        assert_eq!(result["coldStart"], number == 0, "{number}: {run:?}");
    }
}

#[test]
fn privileged_nothing_runs_between_invocations() {
    if !privileged() {
        return;
    }
    // A thread counts all the time; each answer says how far it is. Between the
    // invocations lies an event that takes the command a while to read: here the
    // caller's standard output is not read.
    let code = r#"
import http.client, json, threading, time
ticks = 0
def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1
threading.Thread(target=tick, daemon=True).start()
c = http.client.HTTPConnection("127.0.0.1", 9001)
last = None
while True:
    before = ticks
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse()
    i = r.headers["lambda-runtime-aws-request-id"]
    r.read()
    answer = {"whileIdle": ticks - before, "mono": time.monotonic(), "pad": "x" * 200000}
    time.sleep(0.05)
    answer["whileBusy"] = ticks - before
    c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", json.dumps(answer))
    c.getresponse().read()
"#;
    let lambent = Lambent::new();
    let arguments = ["--repeat", "3", "--memory", "512", "--timeout", "20"];
    let child = script::start_bare(&lambent, code, &arguments);
    // The pipe takes 64 KiB: the command waits for us with the first answer.
    sleep(Duration::from_secs(3));
    let run: Run = child.wait_with_output().unwrap().into();
    let answers: Vec<Value> = run
        .results()
        .iter()
        .map(|result| result["payload"].clone())
        .collect();
    assert_eq!(answers.len(), 3, "{run:?}");
    let between = answers[1]["mono"].as_f64().unwrap() - answers[0]["mono"].as_f64().unwrap();
    assert!(between > 1.0, "the idle time was only {between} s");
    // Awake it ticks nearly every millisecond; frozen, once on each side at most.
    let idle = answers[1]["whileIdle"].as_u64().unwrap();
    assert!(idle < 100, "{idle} ticks in {between} s of idling");
    assert!(
        answers[1]["whileBusy"].as_u64().unwrap() > 0,
        "{:?}",
        answers[1]
    );
}

#[test]
fn privileged_responses_have_a_largest_size() {
    if !privileged() {
        return;
    }
    let arguments = ["--memory", "1024", "--timeout", "30"];
    for (bytes, fits) in [(6_291_556, true), (6_291_557, false)] {
        let code = format!(
            "c.request('POST', f'/2018-06-01/runtime/invocation/{{i}}/response', \
             '\"' + 'x' * {} + '\"')\n\
             r = c.getresponse()\n\
             print(r.status, r.read().decode(), flush=True)\n\
             c.request('GET', '/2018-06-01/runtime/invocation/next')\nc.getresponse()",
            bytes - 2
        );
        let run = run_invoked(&code, &arguments);
        if fits {
            assert_eq!(run.payload().as_str().unwrap().len(), bytes - 2);
        } else {
            assert_eq!(error_type(&run), "Function.ResponseSizeTooLarge");
            let logs = logs(&run);
            assert!(logs.contains("413 "), "{logs}");
            assert!(
                logs.contains("Exceeded maximum allowed payload size (6291556 bytes)."),
                "{logs}"
            );
        }
    }
}

#[test]
fn privileged_a_response_without_an_end_is_stopped_by_the_time_out() {
    if !privileged() {
        return;
    }
    for body in [
        // One byte now and then, and chunks for ever (and too many of them).
        "while 1:\n  s.sendall(b'1\\r\\nx\\r\\n')\n  time.sleep(0.2)",
        "while 1: time.sleep(1)",
    ] {
        let code = format!(
            "import time\ns = c.sock\n\
             s.sendall(f'POST /2018-06-01/runtime/invocation/{{i}}/response HTTP/1.1\\r\\nHost: x\\r\\n\
             Transfer-Encoding: chunked\\r\\n\\r\\n'.encode())\n{body}"
        );
        let run = run_invoked(&code, &["--timeout", "2"]);
        assert_eq!(error_type(&run), "Sandbox.Timedout", "{body}");
    }
}

#[test]
fn privileged_who_never_reads_an_answer_holds_up_itself() {
    if !privileged() {
        return;
    }
    // The event is larger than what the kernel keeps for a reader.
    let connect = "import socket, time\n\
        def ask(path, times):\n\
        \x20 s = socket.socket()\n\
        \x20 s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n\
        \x20 s.connect(('127.0.0.1', 9001))\n\
        \x20 s.setblocking(False)\n\
        \x20 try:\n\
        \x20   for _ in range(times): s.send(f'GET /2018-06-01/{path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.encode())\n\
        \x20 except BlockingIOError: pass\n\
        \x20 return s\n";
    let never = format!("{connect}s = ask('runtime/invocation/next', 1)\ntime.sleep(600)");
    let entrypoint = json!(["/usr/bin/python3", "-c", never]).to_string();
    let lambent = Lambent::new();
    let image = lambent.reference(Fixture::PythonOciArchive);
    let arguments = ["--entrypoint", &entrypoint, "--cmd", "[]", "--timeout", "2"];
    let run = lambent.invoke(&image, &json!("x".repeat(6_000_000)), &arguments);
    assert_eq!(error_type(&run), "Sandbox.Timedout");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
    // Beside answers that nobody reads the function has its own.
    let flood = format!(
        "{connect}held = [ask('ping', 100000) for _ in range(20)]\n{}",
        script::DONE
    );
    let run = run_invoked(&flood, &["--memory", "1769", "--timeout", "30"]);
    assert_eq!(run.payload(), "done");
}

#[test]
fn privileged_a_response_shorter_than_announced_is_truncated() {
    if !privileged() {
        return;
    }
    let code = "s = c.sock\n\
        s.sendall(f'POST /2018-06-01/runtime/invocation/{i}/response HTTP/1.1\\r\\nHost: x\\r\\n\
        Content-Length: 100\\r\\n\\r\\nabc'.encode())\ns.close()\nthreading.Event().wait()";
    let run = run_invoked(code, &["--timeout", "5"]);
    assert_eq!(error_type(&run), "Runtime.TruncatedResponse");
}

#[test]
fn privileged_there_is_one_response_mode() {
    if !privileged() {
        return;
    }
    let code = "c.request('POST', f'/2018-06-01/runtime/invocation/{i}/response', '1',\n\
        \x20 {'Lambda-Runtime-Function-Response-Mode': 'fast'})\n\
        print(c.getresponse().status, flush=True)\nthreading.Event().wait(1)";
    let run = run_invoked(code, &["--timeout", "5"]);
    assert_eq!(error_type(&run), "Runtime.InvalidResponseModeHeader");
    assert!(logs(&run).contains("400\n"), "{run:?}");
}

#[test]
fn privileged_the_event_is_handed_out_again_to_who_lost_it() {
    if !privileged() {
        return;
    }
    let code = format!(
        "c.close()\n{}assert i == i0, (i, i0)\n{}",
        script::TAKE_EVENT.replacen("\nc =", "\ni0 = i\nc =", 1),
        script::DONE
    );
    let run = run_invoked(&code, &["--timeout", "10"]);
    assert_eq!(run.payload(), "done");
}

#[test]
fn privileged_a_runtime_that_dies_with_an_event_is_started_again() {
    if !privileged() {
        return;
    }
    // It answers and asks for the next event in a child that then ends, and dies
    // as soon as it is let go on.
    let code = format!(
        "import os, signal, threading, time\n\
         first = not os.path.exists('/tmp/seen')\n\
         open('/tmp/seen', 'w').close()\n\
         {}\
         {}",
        script::TAKE_EVENT,
        "c.request('POST', f'/2018-06-01/runtime/invocation/{i}/response', str(first).lower())\n\
         c.getresponse().read()\n\
         c.request('GET', '/2018-06-01/runtime/invocation/next')\n\
         if first:\n  c.getresponse()\n  os._exit(0)\n\
         c.getresponse()\n"
    );
    let run = run(&code, &["--repeat", "3", "--timeout", "10"]);
    let results = run.results();
    assert_eq!(results[0]["payload"], true, "{run:?}");
    // It took the second event along.
    assert_eq!(
        results[1]["payload"]["errorType"], "Runtime.ExitError",
        "{run:?}"
    );
    assert_eq!(results[2]["payload"], false, "{run:?}");
    assert_eq!(results[2]["coldStart"], true, "{run:?}");
    assert!(results[2]["report"]["initDurationMs"].is_null(), "{run:?}");
}

#[test]
fn privileged_the_caller_is_described() {
    if !privileged() {
        return;
    }
    let code = format!(
        "import json\nh = dict(r.headers)\n{}",
        script::DONE.replacen("'\"done\"'", "json.dumps(h)", 1)
    );
    let arguments = [
        "--client-context",
        "{\n\"custom\": {\"who\": \"me\"}}",
        "--cognito-identity-id",
        "eu-west-1:id",
        "--cognito-identity-pool-id",
        "eu-west-1:pool",
    ];
    let headers = run_invoked(&code, &arguments).payload();
    assert_eq!(
        headers["lambda-runtime-client-context"], r#"{"custom":{"who":"me"}}"#,
        "{headers}"
    );
    let identity: Value =
        serde_json::from_str(headers["lambda-runtime-cognito-identity"].as_str().unwrap()).unwrap();
    assert_eq!(
        identity,
        json!({"cognitoIdentityId": "eu-west-1:id", "cognitoIdentityPoolId": "eu-west-1:pool"})
    );
    let trace = headers["lambda-runtime-trace-id"].as_str().unwrap();
    assert!(trace.starts_with("Root=1-"), "{trace}");
    // Without them, no headers.
    let headers = run_invoked(&code, &[]).payload();
    assert!(
        headers.get("lambda-runtime-client-context").is_none(),
        "{headers}"
    );
    assert!(
        headers.get("lambda-runtime-cognito-identity").is_none(),
        "{headers}"
    );
}

#[test]
fn privileged_sandbox_localdomain_resolves() {
    if !privileged() {
        return;
    }
    let code = format!(
        "a = socket.gethostbyname('sandbox.localdomain')\n{}",
        script::DONE.replacen("'\"done\"'", "'\"' + a + '\"'", 1)
    );
    assert_eq!(run_invoked(&code, &[]).payload(), "127.0.0.1");
}
