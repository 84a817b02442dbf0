//! What a thousand failures leave behind.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread::sleep;
use std::time::Duration;

use crate::fixtures::Error;
use crate::leftovers::{self, Leftovers};
use crate::resources::Resources;
use crate::{Lambent, Run, script};

/// Services, one after the other, and invocations of each.
const SERVICES: usize = 10;
const INVOCATIONS: &str = "100";

/// A runtime that fails in another way each time: a file in `/tmp` counts.
const CODE: &str = r"
import ctypes, sys, time
with open('/tmp/n', 'a+') as f:
    f.seek(0)
    n = len(f.read())
    f.write('x')
kind = n % 10
if kind == 0: os._exit(0)
if kind == 1: os._exit(7)
if kind == 2: os.kill(os.getpid(), 11)
if kind == 3: os.abort()
if kind == 4:
    x = []
    while 1: x.append(b'x' * 1000000)
if kind == 5: time.sleep(60)
if kind == 6:
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    os._exit(1)
if kind == 7:
    s = c.sock
    s.sendall(f'POST /2018-06-01/runtime/invocation/{i}/response HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx'.encode())
    s.close()
    time.sleep(0.05)
    os._exit(1)
if kind == 8:
    c.request('POST', f'/2018-06-01/runtime/invocation/{i}/error', '{}')
    c.getresponse().read()
    os._exit(1)
for _ in range(200):
    if os.fork() == 0: time.sleep(600)
os.kill(os.getpid(), 9)
";

/// One line for each kind of failure. What is left after all is an error.
pub(super) fn table() -> Result<String, Error> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut early, mut late) = (Resources::default(), Resources::default());
    let mut left = vec![];
    for _ in 0..SERVICES {
        let lambent = Lambent::new();
        let arguments = [
            "--repeat",
            INVOCATIONS,
            "--timeout",
            "2",
            "--memory",
            "1024",
        ];
        let mut child = script::start(&lambent, CODE, &arguments);
        let mut services = vec![];
        // The output is larger than a pipe: somebody has to read it meanwhile.
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let readers = [
            std::thread::spawn(move || out.map(std::io::read_to_string)),
            std::thread::spawn(move || err.map(std::io::read_to_string)),
        ];
        let mut samples = vec![];
        let status = loop {
            services.extend(leftovers::services(lambent.root()));
            samples.push(Resources::of(child.id()));
            if let Some(status) = child.try_wait()? {
                break status;
            }
            sleep(Duration::from_millis(100));
        };
        let mut texts = readers.into_iter().map(|reader| {
            let text = reader.join().map_err(|_| "a reader panicked")?;
            Ok::<_, Error>(text.transpose()?.unwrap_or_default())
        });
        let run = Run {
            status: status.code().unwrap_or(-1),
            stdout: texts.next().transpose()?.unwrap_or_default(),
            stderr: texts.next().transpose()?.unwrap_or_default(),
        };
        for result in run.results() {
            let kind = result["payload"]["errorType"]
                .as_str()
                .unwrap_or("answered");
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        let half = samples.len() / 2;
        early = samples[..half].iter().copied().fold(early, Resources::max);
        late = samples[half..].iter().copied().fold(late, Resources::max);
        services.sort_unstable();
        services.dedup();
        left.push(Leftovers::of(lambent.root(), &services));
    }
    left.retain(|left| !left.is_empty());
    let total: usize = kinds.values().sum();
    let mut text = format!("{total} invocations that fail, in {SERVICES} services\n");
    for (kind, count) in kinds {
        let _ = writeln!(text, "| {kind} | {count} |");
    }
    let _ = writeln!(
        text,
        "the service, first and second half: {early:?}, {late:?}"
    );
    without(&left, text)
}

/// The table, unless a service has left something.
fn without(left: &[Leftovers], table: String) -> Result<String, Error> {
    if left.is_empty() {
        return Ok(table);
    }
    let count = left.len();
    Err(format!("{table}{count} services left something: {left:#?}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_an_error_that_names_them() {
        assert_eq!(without(&[], "table".to_owned()).unwrap(), "table");
        let left = Leftovers {
            cgroups: vec!["/sys/fs/cgroup/lambent/7".into()],
            ..Leftovers::default()
        };
        let error = without(&[left], "table\n".to_owned())
            .unwrap_err()
            .to_string();
        for part in ["table\n", "1 services left", "/lambent/7"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
