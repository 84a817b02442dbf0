//! What a function notices of a hostile one beside it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fixtures::{Error, Fixture};
use crate::leftovers::{self, Leftovers};
use crate::serve::Served;
use crate::{Lambent, script};

/// How often each is measured, by turns. What a neighbour notices depends on how the
/// periods of a quota, which begin with an environment, lie to the ticks of the scheduler.
const ROUNDS: usize = 6;
/// How long the victim is measured in each round.
const MEASURED: Duration = Duration::from_secs(2);
/// How long the hostile function misbehaves before that.
const BEFORE: Duration = Duration::from_secs(1);
/// How long it does in all: until after that.
const HOSTILE_TIMEOUT_S: u32 = 4;

/// Lines of Python that misbehave until they are stopped, after an event was taken.
pub(super) const ATTACKS: &[(&str, &str)] = &[
    (
        "busy threads",
        "for _ in range(32):\n  if os.fork() == 0: break\nwhile 1: pass",
    ),
    (
        "fork bomb",
        "while 1:\n  try: os.fork()\n  except OSError: pass",
    ),
    (
        "memory bomb, again and again",
        "while 1:\n  if os.fork() == 0:\n    x = []\n    while 1: x.append(b'x' * 1000000)\n  os.wait()",
    ),
    ("flood of lines", "while 1: os.write(1, b'x\\n' * 30000)"),
    ("line without end", "while 1: os.write(1, b'x' * 65536)"),
    (
        "full /tmp, rewritten",
        "while 1:\n  try:\n    with open('/tmp/x', 'wb') as f:\n      while 1: f.write(os.urandom(1 << 20))\n  except OSError: pass",
    ),
    (
        "files in /tmp",
        "n = 0\nwhile 1:\n  try:\n    n += 1\n    open(f'/tmp/{n}', 'w').close()\n  except OSError:\n    for m in range(n):\n      try: os.unlink(f'/tmp/{m}')\n      except OSError: pass\n    n = 0",
    ),
    (
        "connections",
        "while 1:\n  s = socket.socket()\n  s.connect(('127.0.0.1', 9001))\n  s.close()",
    ),
    (
        "requests",
        "while 1:\n  c.request('GET', '/2018-06-01/ping')\n  c.getresponse().read()",
    ),
    (
        "response without end",
        "s = c.sock\ns.sendall(f'POST /2018-06-01/runtime/invocation/{i}/response HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n'.encode())\nwhile 1: s.sendall(b'1\\r\\nx\\r\\n')",
    ),
    (
        "kernel objects",
        "import select\np = []\nwhile 1:\n  try:\n    while 1: p.append(os.eventfd(0) if len(p) % 2 else select.epoll())\n  except OSError: p = []",
    ),
];

/// What a client waits for the victim's answers, for as long as [`MEASURED`], in ms.
fn victim(client: &Client, latencies: &mut Vec<f64>) -> Result<(), Error> {
    let event = json!({"action": "counter"});
    let started = Instant::now();
    while started.elapsed() < MEASURED {
        let asked = Instant::now();
        let answer = client.invoke("victim", &event)?;
        if answer.failed {
            return Err(answer.payload.to_string().into());
        }
        latencies.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The same beside a new environment of a hostile function. Returns what that got.
fn victim_beside(
    code: &str,
    client: &Client,
    url: &str,
    latencies: &mut Vec<f64>,
) -> Result<Value, Error> {
    let settings = hostile(code, HOSTILE_TIMEOUT_S);
    client.create("hostile", &Fixture::PythonOciArchive, settings)?;
    let hostile = Client::new(url);
    let attack = std::thread::spawn(move || hostile.invoke("hostile", &json!({})));
    std::thread::sleep(BEFORE);
    let measured = victim(client, latencies);
    let answer = attack.join().map_err(|_| "the hostile client failed")??;
    client.delete("hostile")?;
    measured.map(|()| answer.payload)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[index]
}

/// The settings of a function with `code` in the place of a runtime.
pub(super) fn hostile(code: &str, timeout_s: u32) -> Value {
    let code = format!("{}{code}", script::TAKE_EVENT);
    json!({
        "Timeout": timeout_s,
        "ImageConfig": {"EntryPoint": ["/usr/bin/python3", "-c", code], "Command": []},
    })
}

/// One row for each attack.
pub(super) fn table() -> Result<String, Error> {
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let services = leftovers::services(lambent.root());
    let client = Client::new(&served.url());
    let settings = json!({"MemorySize": 1_769, "Timeout": 20});
    client.create("victim", &Fixture::RustOciArchive, settings)?;
    victim(&client, &mut vec![])?;
    let mut quiet = vec![];
    let mut beside = vec![(vec![], Value::Null); ATTACKS.len()];
    for _ in 0..ROUNDS {
        victim(&client, &mut quiet)?;
        for ((_, code), (latencies, answer)) in ATTACKS.iter().zip(&mut beside) {
            *answer = victim_beside(code, &client, &served.url(), latencies)?;
        }
    }
    served.end(Signal::TERM);
    let left = Leftovers::of(lambent.root(), &services);
    if !left.is_empty() {
        return Err(format!("left behind: {left:?}").into());
    }
    quiet.sort_by(f64::total_cmp);
    let quiet_p99 = percentile(&quiet, 99);
    let mut text = format!(
        "A client's warm invocations of a function (1,769 MB) in {ROUNDS} turns of {} s, beside \
         hostile ones (128 MB) in the same service\n\
         | beside | invocations | p50 ms | p99 ms | p99 / quiet | what the hostile one got |\n\
         |---|---|---|---|---|---|\n\
         | nothing | {} | {:.2} | {quiet_p99:.2} | | |\n",
        MEASURED.as_secs(),
        quiet.len(),
        percentile(&quiet, 50),
    );
    for ((name, _), (latencies, answer)) in ATTACKS.iter().zip(&mut beside) {
        latencies.sort_by(f64::total_cmp);
        let p99 = percentile(latencies, 99);
        let _ = writeln!(
            text,
            "| {name} | {} | {:.2} | {p99:.2} | {:.2} | {} |",
            latencies.len(),
            percentile(latencies, 50),
            p99 / quiet_p99,
            answer["errorType"].as_str().unwrap_or("an answer"),
        );
    }
    Ok(text)
}
