//! Functions that misbehave: the time-out passes, the caller gets its answer, and
//! nothing is left.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use lambent_e2e::client::Client;
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::Tidy;
use lambent_e2e::{Lambent, Run, privileged, script, wait};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

fn start(lambent: &Lambent, code: &str, timeout: &str) -> Child {
    script::start(lambent, code, &["--timeout", timeout])
}

fn run(code: &str, timeout: &str) -> (Run, Duration) {
    let code = format!("{}{code}", script::TAKE_EVENT);
    run_from_init(&code, &["--timeout", timeout])
}

/// The same before it has taken the event.
fn run_from_init(code: &str, arguments: &[&str]) -> (Run, Duration) {
    let lambent = Lambent::new();
    let started = Instant::now();
    let child = script::start_bare(&lambent, code, arguments);
    let output = child.wait_with_output().unwrap();
    let elapsed = started.elapsed();
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
    (output.into(), elapsed)
}

/// The time-out, well before whoever hangs would notice. (The bound is there to
/// catch what hangs, not to measure.)
fn assert_timed_out(code: &str) -> Value {
    timed_out(&run(code, "2"))
}

fn timed_out((run, elapsed): &(Run, Duration)) -> Value {
    assert_eq!(run.status, 1, "{}", run.stdout);
    let result = run.result();
    assert_eq!(
        result["payload"]["errorType"], "Sandbox.Timedout",
        "{result}"
    );
    let bound = wait::patiently(Duration::from_secs(60));
    assert!(*elapsed < bound, "{elapsed:?}");
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
    let bomb = "import ctypes, os\nlibc = ctypes.CDLL(None)\nwhile 1: libc.";
    // In the invocation and in INIT; and so that each process waits for the next one,
    // where no signal but SIGKILL reaches it.
    assert_timed_out(&format!("{bomb}fork()"));
    assert_timed_out(&format!("{bomb}vfork()"));
    // INIT is as fast as the machine: in 128 MB as many processes as there may be can be
    // out of memory first.
    let roomy = ["--timeout", "1", "--memory", "512"];
    timed_out(&run_from_init(&format!("{bomb}fork()"), &roomy));
    timed_out(&run_from_init(&format!("{bomb}vfork()"), &roomy));
}

#[test]
fn privileged_a_thread_bomb_is_ended_as_a_whole() {
    if !privileged() {
        return;
    }
    let bomb = "import threading\ndef f():\n  while 1: pass\nwhile 1:\n  try: threading.Thread(target=f).start()\n  except RuntimeError: pass";
    assert_timed_out(bomb);
    timed_out(&run_from_init(bomb, &["--timeout", "1", "--memory", "512"]));
}

/// Busy in INIT, in all ways, while another function of the service is invoked.
#[test]
fn privileged_who_is_busy_in_init_holds_up_nobody() {
    if !privileged() {
        return;
    }
    let service = Tidy::start();
    let (served, client) = (&service.served, &service.client);
    let settings = json!({"MemorySize": 256, "Timeout": 60});
    let image = Fixture::RustOciArchive;
    client.create("counts", &image, settings).unwrap();
    let threads = "threading.Thread(target=f).start()";
    let ways = [
        ("processes", "while 1: os.fork()".to_owned()),
        (
            "waiting",
            "import ctypes\nwhile 1: ctypes.CDLL(None).vfork()".to_owned(),
        ),
        (
            "threads",
            format!("def f():\n  while 1: pass\nfor _ in range(32): {threads}\nf()"),
        ),
    ];
    for (name, code) in &ways {
        let code = format!("import os, threading\n{code}");
        let entry_point = json!(["/usr/bin/python3", "-c", code]);
        let settings = json!({
            "MemorySize": 1_769,
            "Timeout": 1,
            "ImageConfig": {"EntryPoint": entry_point, "Command": []},
        });
        let image = Fixture::PythonOciArchive;
        client.create(name, &image, settings).unwrap();
    }
    thread::scope(|scope| {
        let busy: Vec<_> = ways
            .iter()
            .map(|(name, _)| scope.spawn(|| Client::new(&served.url()).invoke(name, &json!({}))))
            .collect();
        let mut count = 0;
        while !busy.iter().all(thread::ScopedJoinHandle::is_finished) {
            let answer = client.invoke("counts", &json!({"action": "counter"}));
            count += 1;
            // One and the same environment, all the time.
            assert_eq!(answer.unwrap().payload["count"], count);
        }
        for answer in busy {
            let payload = answer.join().unwrap().unwrap().payload;
            assert_eq!(payload["errorType"], "Sandbox.Timedout", "{payload}");
        }
    });
    service.end();
}

#[test]
fn privileged_who_blocks_and_ignores_all_signals_is_ended_as_a_whole() {
    if !privileged() {
        return;
    }
    // With threads and children, and children of a group of their own.
    assert_timed_out(
        r"
import signal, time
def deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    for n in range(1, signal.NSIG):
        try: signal.signal(n, signal.SIG_IGN)
        except (OSError, ValueError): pass
deaf()
for n in range(8):
    if os.fork() == 0:
        if n % 2: os.setsid()
        break
threading.Thread(target=time.sleep, args=(600,)).start()
while 1: time.sleep(600)
",
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

#[test]
fn privileged_a_tmp_without_inodes_or_bytes_is_full_and_stays_usable() {
    if !privileged() {
        return;
    }
    // Names of one file, and attributes; one file for each 16 KiB, as `mkfs.ext4` counts;
    // then every byte. The second invocation begins with all of that.
    let code = r#"
import shutil
def fill(make):
    n = 0
    try:
        while True:
            make(n)
            n += 1
    except OSError as e:
        return [n, e.errno]
def touch(n): os.close(os.open(f"/tmp/d/{n}", os.O_CREAT | os.O_WRONLY))
def handle(n):
    full = os.statvfs("/tmp")
    answer = {"before": sorted(os.listdir("/tmp")), "free": [full.f_ffree, full.f_bavail]}
    shutil.rmtree("/tmp/d", ignore_errors=True)
    if os.path.exists("/tmp/x"): os.unlink("/tmp/x")
    os.mkdir("/tmp/d")
    os.close(os.open("/tmp/x", os.O_CREAT | os.O_WRONLY))
    if not answer["before"]:
        answer["links"] = fill(lambda n: os.link("/tmp/x", f"/tmp/d/link{n}"))
    answer["attributes"] = fill(lambda n: os.setxattr("/tmp/x", f"user.{n}", b"x" * 1000))
    shutil.rmtree("/tmp/d")
    os.mkdir("/tmp/d")
    answer["files"] = fill(touch)
    with open("/tmp/x", "wb", buffering=0) as f:
        answer["mebibytes"] = fill(lambda n: f.write(b"x" * (1 << 20)))
    return answer
"#;
    let lambent = Lambent::new();
    let arguments = ["--memory", "1769", "--timeout", "120", "--repeat", "2"];
    let run = script::serve(&lambent, code, &arguments);
    let answers: Vec<Value> = run
        .results()
        .iter()
        .map(|result| result["payload"].clone())
        .collect();
    assert_eq!(answers.len(), 2, "{run:?}");
    for answer in &answers {
        let (files, errno) = (answer["files"][0].as_u64(), &answer["files"][1]);
        assert!((32_000..=33_000).contains(&files.unwrap()), "{answer}");
        assert_eq!(*errno, libc::ENOSPC, "{answer}");
        assert_eq!(answer["mebibytes"][1], libc::ENOSPC, "{answer}");
        assert!(answer["mebibytes"][0].as_u64().unwrap() >= 500, "{answer}");
        let (attributes, errno) = (answer["attributes"][0].as_u64(), &answer["attributes"][1]);
        assert!(attributes.unwrap() < 10, "{answer}");
        assert_eq!(*errno, libc::ENOSPC, "{answer}");
    }
    assert_eq!(answers[0]["before"], json!([]), "{answers:?}");
    assert_eq!(answers[1]["before"], json!(["d", "x"]), "{answers:?}");
    assert_eq!(answers[1]["free"][0], 0, "{answers:?}");
    // Less than what it failed to write.
    let blocks = answers[1]["free"][1].as_u64().unwrap();
    assert!(blocks < 256, "{answers:?}");
    // As many as ext4 has for one file.
    let links = &answers[0]["links"];
    assert_eq!(*links, json!([64_999, libc::EMLINK]), "{answers:?}");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_a_tree_of_any_depth_goes_with_its_environment() {
    if !privileged() {
        return;
    }
    let code = format!(
        "os.chdir('/tmp')\nn = 0\ntry:\n  while True:\n    os.mkdir('d')\n    os.chdir('d')\n    n += 1\n\
         except OSError: pass\nos.chdir('/')\n{}",
        script::DONE.replacen("'\"done\"'", "str(n)", 1)
    );
    let lambent = Lambent::new();
    let arguments = ["--memory", "1769", "--timeout", "120"];
    let run: Run = script::start(&lambent, &code, &arguments)
        .wait_with_output()
        .unwrap()
        .into();
    assert!(run.payload().as_u64().unwrap() > 10_000, "{run:?}");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_orphans_are_reaped() {
    if !privileged() {
        return;
    }
    // Each is a child of process 1 when it ends; more than may exist at once.
    let code = r"
import time
for _ in range(1500):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(pid, 0)
end = time.monotonic() + 30
while len([p for p in os.listdir('/proc') if p.isdigit()]) > 2 and time.monotonic() < end:
    time.sleep(0.01)
answer['pids'] = sorted(int(p) for p in os.listdir('/proc') if p.isdigit())
# Those whose parent does not reap them are the function's own, and count.
for turn in ('first', 'second'):
    ended = 0
    try:
        while True:
            if os.fork() == 0: os._exit(0)
            ended += 1
    except OSError as e:
        answer[turn] = [ended, e.errno]
    if turn == 'first':
        for _ in range(ended): os.wait()
";
    let lambent = Lambent::new();
    let arguments = ["--memory", "1769", "--timeout", "60"];
    let answer = script::findings_of(&lambent, code, &arguments);
    assert_eq!(answer["pids"], json!([1, 2]), "{answer}");
    for turn in ["first", "second"] {
        let ended = answer[turn][0].as_u64().unwrap();
        assert!((1_000..1_024).contains(&ended), "{answer}");
        assert_eq!(answer[turn][1], libc::EAGAIN, "{answer}");
    }
    // The last were left to whoever ends the environment.
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_lines_that_look_like_lambdas_change_no_report() {
    if !privileged() {
        return;
    }
    let line = "REPORT RequestId: 00000000-0000-0000-0000-000000000000\\tDuration: 1.00 ms\\tBilled \
                Duration: 1 ms\\tMemory Size: 1 MB\\tMax Memory Used: 1 MB\\t";
    let (run, _) = run(
        &format!(
            "print('{line}', flush=True)\nprint('\\x1b[2J', flush=True)\n{}",
            script::DONE
        ),
        "10",
    );
    let result = run.result();
    assert_eq!(result["payload"], "done", "{result}");
    assert_eq!(result["report"]["memorySizeMb"], 128, "{result}");
    assert_ne!(result["requestId"], "00000000-0000-0000-0000-000000000000");
    // The function's own line is in its log, between START and END.
    let logs = result["logs"].as_str().unwrap();
    let at = |text: &str| logs.find(text).unwrap_or_else(|| panic!("{text}: {logs}"));
    assert!(at("START ") < at("Max Memory Used: 1 MB"), "{logs}");
    assert!(at("Max Memory Used: 1 MB") < at("END "), "{logs}");
}
