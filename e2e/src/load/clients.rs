//! Many of AWS's clients at once on a function with few environments, and a restart of
//! the service in the middle.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::fixtures::{Error, Fixture};
use crate::leftovers::{self, Leftovers};
use crate::serve::Served;
use crate::{Lambent, boto3};

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Clients, each with a connection of its own.
    pub clients: u32,
    /// Reserved concurrency: environments at once.
    pub environments: u32,
    /// How long.
    pub seconds: u32,
}

impl Load {
    /// What the bench runs.
    pub const FULL: Self = Self {
        clients: 64,
        environments: 8,
        seconds: 60,
    };
    /// What a test runs.
    pub const MOMENT: Self = Self {
        clients: 16,
        environments: 4,
        seconds: 8,
    };
}

/// Python: each client in a thread, without retries. Every request has a token that
/// has to come back.
const CODE: &str = r#"
import collections, threading, time, uuid
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
counts, ids, times, lock = collections.Counter(), [], [], threading.Lock()
def ask(client):
    token = str(uuid.uuid4())
    began = time.monotonic()
    try:
        r = client.invoke(FunctionName="f", Payload=json.dumps({"action": "echo", "token": token}))
        body = json.loads(r["Payload"].read())
    except EndpointConnectionError:
        time.sleep(0.05)
        return "refused", None, None
    except ConnectionClosedError:
        return "cut", None, None
    except ClientError as e:
        if e.response["Error"]["Code"] == "TooManyRequestsException": return "throttled", None, None
        return "error: " + str(e), None, None
    if "FunctionError" in r: return "failed: " + json.dumps(body), None, None
    right = body["event"]["token"] == token
    return "answered" if right else "crossed", r["ResponseMetadata"]["RequestId"], time.monotonic() - began
def work(client):
    mine, seen, took = collections.Counter(), [], []
    while time.monotonic() < end:
        kind, id, seconds = ask(client)
        mine[kind] += 1
        if id: seen.append(id); took.append(seconds)
    with lock:
        counts.update(mine); ids.extend(seen); times.extend(took)
clients = [client() for _ in range(CLIENTS)]
end = time.monotonic() + SECONDS
threads = [threading.Thread(target=work, args=(one,)) for one in clients]
for t in threads: t.start()
for t in threads: t.join()
times.sort()
at = lambda share: times[int(len(times) * share)] * 1000 if times else 0
print(json.dumps({"counts": counts, "unique": len(set(ids)), "p50": at(0.5), "p99": at(0.99)}))
"#;

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    load: Load,
    /// By kind: `answered` rightly, `throttled`, `refused` while nobody listened, `cut`
    /// when a client sent a request just as its connection was closed; all others are
    /// faults.
    pub counts: Vec<(String, u64)>,
    /// Invocations that began, as the log says.
    pub begun: u64,
    /// Different request IDs among the answers.
    pub unique: u64,
    /// Of answers, as the clients measure it.
    pub median_ms: f64,
    /// The same for the slowest hundredth.
    pub slow_ms: f64,
    /// Whether anything was left when the service had ended.
    pub left: bool,
}

/// Runs it.
///
/// # Errors
/// A client could not be run.
pub fn run(load: Load) -> Result<Outcome, Error> {
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    make_function(&served, load)?;
    let (address, url) = (served.address().to_string(), served.url());
    let code = CODE
        .replace("CLIENTS", &load.clients.to_string())
        .replace("SECONDS", &load.seconds.to_string());
    let (run, served, first) = std::thread::scope(|scope| {
        let clients = scope.spawn(|| boto3::run(&url, &code));
        sleep(Duration::from_secs(u64::from(load.seconds) / 2));
        let stopped = lambent.run(["stop"]);
        let (_, first) = served.end(rustix::process::Signal::TERM);
        let served = Served::start_at(&lambent, &address, &[]);
        let run = clients.join().map_err(|_| "the clients panicked")?;
        if stopped.status != 0 {
            return Err::<_, Error>(format!("lambent stop: {stopped:?}").into());
        }
        Ok((run, served, first))
    })?;
    if run.status != 0 {
        return Err(format!("the clients failed: {run:?}").into());
    }
    let services = leftovers::services(lambent.root());
    let (_, log) = served.end(rustix::process::Signal::INT);
    let left = !Leftovers::of(lambent.root(), &services).is_empty();
    let found: Value = serde_json::from_str(&run.stdout)?;
    let counts = found["counts"].as_object().ok_or("no counts")?;
    let counts = counts
        .iter()
        .map(|(kind, count)| (kind.clone(), count.as_u64().unwrap_or(0)))
        .collect();
    let log = first + &log;
    if log.contains("panicked") {
        return Err(format!("the service panicked: {log}").into());
    }
    Ok(Outcome {
        load,
        counts,
        begun: log.matches("START RequestId: ").count() as u64,
        unique: found["unique"].as_u64().unwrap_or(0),
        median_ms: found["p50"].as_f64().unwrap_or(0.0),
        slow_ms: found["p99"].as_f64().unwrap_or(0.0),
        left,
    })
}

fn make_function(served: &Served, load: Load) -> Result<(), Error> {
    let image = Fixture::RustOciArchive.reference();
    let code = format!(
        r#"
c.create_function(FunctionName="f", Role="arn:aws:iam::123456789012:role/r", PackageType="Image", Code={{"ImageUri": {image:?}}}, MemorySize=512, Timeout=30)
c.get_waiter("function_active_v2").wait(FunctionName="f")
c.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions={})
"#,
        load.environments
    );
    let run = boto3::run(&served.url(), &code);
    if run.status != 0 {
        return Err(format!("the function cannot be made: {run:?}").into());
    }
    Ok(())
}

impl Outcome {
    fn count(&self, kind: &str) -> u64 {
        let found = self.counts.iter().find(|(name, _)| name == kind);
        found.map_or(0, |(_, count)| *count)
    }

    /// Whether every request was answered rightly, once, or refused for a reason.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn check(&self) -> Result<(), Error> {
        let known = ["answered", "throttled", "refused", "cut"];
        if let Some((kind, count)) = self
            .counts
            .iter()
            .find(|(kind, _)| !known.contains(&kind.as_str()))
        {
            return Err(format!("{count} requests: {kind}").into());
        }
        let answered = self.count("answered");
        if answered == 0 || self.count("throttled") == 0 {
            return Err("there was no load".into());
        }
        // A request without an answer has not been run, and each connection is closed
        // once.
        if self.begun != answered {
            return Err(format!("{} invocations have {answered} answers", self.begun).into());
        }
        if self.count("cut") > u64::from(self.load.clients) {
            return Err(format!("{} requests were cut off", self.count("cut")).into());
        }
        if self.unique != answered {
            return Err(format!("{answered} answers have {} request IDs", self.unique).into());
        }
        if self.left {
            return Err("the service has left something".into());
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load {
            clients,
            environments,
            seconds,
        } = self.load;
        writeln!(
            formatter,
            "{clients} clients on {environments} environments for {seconds} s, with a restart"
        )?;
        for (kind, count) in &self.counts {
            writeln!(formatter, "| {kind} | {count} |")?;
        }
        writeln!(formatter, "| invocations that began | {} |", self.begun)?;
        writeln!(formatter, "| different request IDs | {} |", self.unique)?;
        writeln!(formatter, "| answered, median | {:.1} ms |", self.median_ms)?;
        write!(
            formatter,
            "| answered, 99 % within | {:.1} ms |",
            self.slow_ms
        )
    }
}
