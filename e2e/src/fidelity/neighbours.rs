//! What a function notices of a hostile one beside it.

use std::fmt::Write;
use std::process::Child;

use serde_json::json;

use crate::fixtures::{Error, Fixture};
use crate::leftovers::{self, Leftovers};
use crate::{Lambent, Run, script};

/// Invocations of the victim in one measurement.
const INVOCATIONS: &str = "300";

/// Lines of Python that misbehave until they are stopped.
const ATTACKS: &[(&str, &str)] = &[
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

/// Durations of the victim's warm invocations, sorted, in ms.
fn victim() -> Result<Vec<f64>, Error> {
    let run = Lambent::new().invoke(
        &Fixture::RustOciArchive.reference(),
        &json!({"action": "counter"}),
        &["--memory", "1769", "--repeat", INVOCATIONS],
    );
    let mut durations = run
        .results()
        .iter()
        .skip(1)
        .map(|result| result["report"]["durationMs"].as_f64())
        .collect::<Option<Vec<f64>>>()
        .ok_or_else(|| format!("{run:?}"))?;
    durations.sort_by(f64::total_cmp);
    Ok(durations)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[index]
}

/// One row for each attack.
pub(super) fn table() -> Result<String, Error> {
    let mut text = format!(
        "{INVOCATIONS} warm invocations (1,769 MB) beside a hostile function (128 MB)\n\
         | beside | p50 ms | p99 ms | p99 / quiet | what the hostile one got | left behind |\n\
         |---|---|---|---|---|---|\n"
    );
    victim()?;
    let quiet = victim()?;
    let quiet_p99 = percentile(&quiet, 99);
    let _ = writeln!(
        text,
        "| nothing | {:.2} | {quiet_p99:.2} | | | |",
        percentile(&quiet, 50)
    );
    for (name, code) in ATTACKS {
        let lambent = Lambent::new();
        let attacker = script::start(&lambent, code, &["--timeout", "20"]);
        std::thread::sleep(std::time::Duration::from_secs(2));
        let durations = victim();
        let (outcome, left) = finish(&lambent, attacker)?;
        let durations = durations?;
        let p99 = percentile(&durations, 99);
        let _ = writeln!(
            text,
            "| {name} | {:.2} | {p99:.2} | {:.2} | {outcome} | {left} |",
            percentile(&durations, 50),
            p99 / quiet_p99
        );
    }
    Ok(text)
}

/// Waits for the hostile function's end. Its error type, and what is left of it.
fn finish(lambent: &Lambent, attacker: Child) -> Result<(String, String), Error> {
    let services = leftovers::services(lambent.root());
    let run = Run::from(attacker.wait_with_output()?);
    let outcome = run.result()["payload"]["errorType"]
        .as_str()
        .ok_or_else(|| format!("{run:?}"))?
        .to_owned();
    let left = Leftovers::of(lambent.root(), &services);
    let left = if left.is_empty() {
        "nothing".to_owned()
    } else {
        format!("{left:?}")
    };
    Ok((outcome, left))
}
