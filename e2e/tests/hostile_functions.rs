//! Functions that misbehave: the time-out passes, the caller gets its answer, and
//! nothing is left.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::process::Child;
use std::time::{Duration, Instant};

use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, Run, privileged, script, wait};
use rustix::process::{Pid, Signal};
use serde_json::Value;

fn start(lambent: &Lambent, code: &str, timeout: &str) -> Child {
    script::start(lambent, code, &["--timeout", timeout])
}

fn run(code: &str, timeout: &str) -> (Run, Duration) {
    let lambent = Lambent::new();
    let started = Instant::now();
    let output = start(&lambent, code, timeout).wait_with_output().unwrap();
    let elapsed = started.elapsed();
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
    (output.into(), elapsed)
}

/// The time-out, well before whoever hangs would notice. (The bound is there to
/// catch what hangs, not to measure.)
fn assert_timed_out(code: &str) -> Value {
    let (run, elapsed) = run(code, "2");
    assert_eq!(run.status, 1, "{}", run.stdout);
    let result = run.result();
    assert_eq!(
        result["payload"]["errorType"], "Sandbox.Timedout",
        "{result}"
    );
    let bound = wait::patiently(Duration::from_secs(60));
    assert!(elapsed < bound, "{elapsed:?}");
    result
}

#[test]
fn privileged_a_flood_of_lines_does_not_stop_the_clock() {
    if !privileged() {
        return;
    }
    assert_timed_out("while 1: os.write(1, b'x\\n' * 30000)");
}

#[test]
fn privileged_an_endless_line_does_not_stop_the_clock() {
    if !privileged() {
        return;
    }
    assert_timed_out("while 1: os.write(1, b'\\0x' * 30000)");
}

#[test]
fn privileged_a_fork_bomb_is_ended_as_a_whole() {
    if !privileged() {
        return;
    }
    assert_timed_out("while 1:\n  try: os.fork()\n  except OSError: pass");
}

#[test]
fn privileged_a_thread_bomb_is_ended_as_a_whole() {
    if !privileged() {
        return;
    }
    assert_timed_out(
        "def f():\n  while 1: pass\nwhile 1:\n  try: threading.Thread(target=f).start()\n  except RuntimeError: pass",
    );
}

#[test]
fn privileged_a_memory_bomb_in_a_child_ends_the_environment() {
    if !privileged() {
        return;
    }
    let (run, _) = run(
        "if os.fork() == 0:\n  x = []\n  while 1: x.append(b'x' * 1000000)\nos.wait()\nthreading.Event().wait()",
        "60",
    );
    assert_eq!(run.status, 1, "{run:?}");
    assert_eq!(
        run.result()["payload"]["errorType"],
        "Runtime.OutOfMemory",
        "{run:?}"
    );
}

#[test]
fn privileged_a_grandchild_that_holds_the_log_holds_up_nothing() {
    if !privileged() {
        return;
    }
    let (run, _) = run(
        "if os.fork() == 0:\n  os.setsid()\n  threading.Event().wait()\n\
         c.request('POST', f'/2018-06-01/runtime/invocation/{i}/response', '\"done\"')\nc.getresponse().read()\n\
         c.request('GET', '/2018-06-01/runtime/invocation/next')\nc.getresponse()",
        "10",
    );
    assert_eq!(run.payload(), "done");
}

#[test]
fn privileged_a_response_counts_even_if_the_client_closes_its_side() {
    if !privileged() {
        return;
    }
    let (run, _) = run(
        "s = c.sock\n\
         s.sendall(f'POST /2018-06-01/runtime/invocation/{i}/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 6\\r\\n\\r\\n\"done\"'.encode())\n\
         s.shutdown(socket.SHUT_WR)\n\
         assert s.recv(4096).startswith(b'HTTP/1.1 202')\n\
         c = http.client.HTTPConnection('127.0.0.1', 9001)\n\
         c.request('GET', '/2018-06-01/runtime/invocation/next')\nc.getresponse()",
        "10",
    );
    assert_eq!(run.payload(), "done");
}

#[test]
fn privileged_double_forged_and_late_answers_are_refused() {
    if !privileged() {
        return;
    }
    let (run, _) = run(
        r#"
def post(path, body):
    c.request("POST", f"/2018-06-01/runtime/{path}", body)
    r = c.getresponse()
    return [r.status, r.read().decode()]
print(post("invocation/00000000-0000-0000-0000-000000000000/response", "1"))
print(post("init/error", "{}"))
print(post(f"invocation/{i}/response", '"done"'))
print(post(f"invocation/{i}/response", '"again"'))
print(post(f"invocation/{i}/error", "{}"), flush=True)
c.request("GET", "/2018-06-01/runtime/invocation/next")
c.getresponse()
"#,
        "10",
    );
    assert_eq!(run.payload(), "done");
    let logs = run.result()["logs"].as_str().unwrap().to_owned();
    let statuses: Vec<&str> = logs
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split(',').next())
        .collect();
    assert_eq!(statuses, ["400", "403", "202", "403", "403"], "{logs}");
    assert!(logs.contains("InvalidRequestID"), "{logs}");
}

#[test]
fn privileged_a_log_that_nobody_reads_stops_neither_the_clock_nor_ctrl_c() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    // Its standard error is a pipe that stays open and is not read.
    let mut child = start(&lambent, "while 1: os.write(2, b'line\\n' * 1000)", "2");
    let root = lambent.root();
    let mut services = vec![];
    wait::until("the service runs", || {
        services = leftovers::services(root);
        !services.is_empty()
    });
    // The time-out ends the environment although the log is not through.
    wait::until("the function runs", || {
        !Leftovers::of(root, &services).processes.is_empty()
    });
    wait::until("the function is gone", || {
        Leftovers::of(root, &services).processes.is_empty()
    });
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
