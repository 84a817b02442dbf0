//! Functions of a service that misbehave: the service stays small, answers whoever else
//! asks, and has in the end what it had.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use lambent_e2e::client::{Answer, Client};
use lambent_e2e::fidelity::mixture::{self, Mixture};
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers;
use lambent_e2e::resources::{self, Resources};
use lambent_e2e::serve::{self, Served, Tidy};
use lambent_e2e::{Lambent, privileged, script, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

/// How much more memory a service may have had, whatever a function sends.
const GROWTH_KB: usize = 64 << 10;

/// A function that posts a gibibyte, in chunks and announced, and one that writes to its
/// log for five seconds without a pause.
const FLOODS: [(&str, &str); 3] = [
    (
        "chunks",
        "def handle(n): post((b'x' * (1 << 20) for _ in range(1024)), {})",
    ),
    (
        "announced",
        "def handle(n): post((b'x' * (1 << 20) for _ in range(1024)), {'Content-Length': str(1 << 30)})",
    ),
    (
        "log",
        "def handle(n):\n  end = time.monotonic() + 5\n  while time.monotonic() < end: os.write(1, b'x' * 65535 + b'\\n')",
    ),
];

/// What is refused before it is through breaks the connection.
const POST: &str = r#"
def post(body, headers):
    c = http.client.HTTPConnection("127.0.0.1", 9001)
    try:
        c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", body, headers)
        c.getresponse().read()
    except OSError:
        pass
"#;

/// Invokes a function, and asks the service for its health until that is through.
fn invoke_beside_others(served: &Served, name: &str) -> Answer {
    let health = format!("{}/health", served.url());
    thread::scope(|scope| {
        let invocation =
            scope.spawn(|| Client::new(&served.url()).invoke(name, &json!({})).unwrap());
        let mut looks = 0;
        while !invocation.is_finished() {
            assert_eq!(ureq::get(&health).call().unwrap().status(), 200, "{name}");
            looks += 1;
            sleep(Duration::from_millis(20));
        }
        assert!(looks > 0, "{name}");
        invocation.join().unwrap()
    })
}

#[test]
fn privileged_a_service_keeps_nothing_of_a_flood() {
    if !privileged() {
        return;
    }
    let service = Tidy::start();
    let (served, client) = (&service.served, &service.client);
    for (name, code) in FLOODS {
        let mut settings = script::serving_config(&format!("{POST}{code}"));
        settings["MemorySize"] = json!(1769);
        settings["Timeout"] = json!(60);
        client
            .create(name, &Fixture::PythonOciArchive, settings)
            .unwrap();
    }
    let before = resources::peak_kb(served.pid());
    for (name, _) in FLOODS {
        // Twice: the environment, or another one, goes on.
        for _ in 0..2 {
            let answer = invoke_beside_others(served, name);
            let payload = &answer.payload;
            if name == "log" {
                assert_eq!(payload, "done", "{name}");
            } else {
                assert_eq!(
                    payload["errorType"], "Function.ResponseSizeTooLarge",
                    "{name}: {payload}"
                );
            }
        }
        let grown = resources::peak_kb(served.pid()) - before;
        assert!(grown < GROWTH_KB, "{name}: {grown} KiB");
    }
    service.end();
}

/// Time-outs at a time, and how often.
const PARALLEL: usize = 20;
const ROUNDS: usize = 10;

#[test]
fn privileged_time_outs_leave_nothing_and_others_alone() {
    if !privileged() {
        return;
    }
    let service = Tidy::start();
    let (served, client) = (&service.served, &service.client);
    for (name, timeout) in [("hangs", 1), ("counts", 60)] {
        let settings = json!({"MemorySize": 256, "Timeout": timeout});
        client
            .create(name, &Fixture::RustOciArchive, settings)
            .unwrap();
    }
    let mut counted = 0;
    let mut count = || {
        let answer = client
            .invoke("counts", &json!({"action": "counter"}))
            .unwrap();
        counted += 1;
        // One and the same environment, all the time.
        assert_eq!(answer.payload["count"], counted, "{}", answer.payload);
    };
    count();
    let mut settled: Vec<(usize, Resources)> = vec![];
    for _ in 0..ROUNDS {
        let clients: Vec<_> = (0..PARALLEL)
            .map(|_| {
                let url = served.url();
                let event = json!({"action": "sleep", "ms": 60_000});
                thread::spawn(move || Client::new(&url).invoke("hangs", &event).unwrap())
            })
            .collect();
        while !clients.iter().all(thread::JoinHandle::is_finished) {
            count();
            sleep(Duration::from_millis(20));
        }
        for client in clients {
            let payload = client.join().unwrap().payload;
            assert_eq!(payload["errorType"], "Sandbox.Timedout", "{payload}");
        }
        settled.push((environments(&service.lambent), Resources::of(served.pid())));
    }
    // What there is after ten rounds is what there is after one, but for what is closed
    // or made ready in the background.
    let first = settled[0];
    wait::until("all is as after the first round", || {
        let descriptors = Resources::of(served.pid()).descriptors;
        environments(&service.lambent) <= first.0 && descriptors <= first.1.descriptors + PARALLEL
    });
    count();
    service.end();
}

/// Descriptors that a service may have when it starts: fewer than it needs in the end.
const FEW: u64 = 96;

/// A function that takes all the connections that it can, again and again.
const CONNECTIONS: &str = r#"
def handle(n):
    taken = 0
    for _ in range(12):
        held = []
        try:
            while True:
                s = socket.socket()
                held.append(s)
                s.setblocking(False)
                try: s.connect(("127.0.0.1", 9001))
                except BlockingIOError: pass
        except OSError: pass
        for s in held:
            try: s.send(b"GET /2018-06-01/ping HTTP/1.1\r\nHo")
            except OSError: pass
        taken += len(held)
    time.sleep(3)
    return taken
"#;

#[test]
fn privileged_a_functions_connections_cost_the_service_few_descriptors() {
    if !privileged() {
        return;
    }
    // As a session gives it, only less.
    let own = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(FEW),
        ..own
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let service = Tidy::start();
    setrlimit(Resource::Nofile, own).unwrap();
    let (served, client) = (&service.served, &service.client);
    let mut settings = script::serving_config(CONNECTIONS);
    settings["MemorySize"] = json!(1769);
    settings["Timeout"] = json!(60);
    let image = Fixture::PythonOciArchive;
    client.create("connects", &image, settings).unwrap();
    let settings = json!({"MemorySize": 256, "Timeout": 60});
    let image = Fixture::RustOciArchive;
    client.create("counts", &image, settings).unwrap();
    let descriptors = || Resources::of(served.pid()).descriptors;
    let before = descriptors();
    let taken = thread::scope(|scope| {
        let hostile = scope.spawn(|| Client::new(&served.url()).invoke("connects", &json!({})));
        wait::until("it has its connections", || descriptors() > before + 60);
        // Also of those who want something of the service itself.
        let silent: Vec<_> = (0..FEW)
            .map(|_| TcpStream::connect(served.address()).unwrap())
            .collect();
        let answer = client.invoke("counts", &json!({"action": "counter"}));
        assert_eq!(answer.unwrap().payload["count"], 1);
        let most = before + 200 + silent.len();
        assert!(descriptors() < most, "{before}, then {}", descriptors());
        hostile.join().unwrap().unwrap().payload
    });
    assert!(taken.as_u64().unwrap() > 10_000, "{taken}");
    service.end();
}

/// More than a service has places for.
const SILENT: usize = 1_100;

#[test]
fn privileged_clients_that_say_nothing_keep_nobody_out() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let own = getrlimit(Resource::Nofile);
    let many = Rlimit {
        current: Some(4 * SILENT as u64),
        ..own
    };
    setrlimit(Resource::Nofile, many).unwrap();
    let served = Served::start(&lambent, &[]);
    let client = Client::new(&served.url());
    let settings = json!({"MemorySize": 256, "Timeout": 60});
    let image = Fixture::RustOciArchive;
    client.create("counts", &image, settings).unwrap();
    // Some have begun to say something.
    let silent: Vec<_> = (0..SILENT)
        .map(|number| {
            let mut stream = TcpStream::connect(served.address()).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /health HT").unwrap();
            }
            stream
        })
        .collect();
    wait::until("all places are taken", || {
        Resources::of(served.pid()).descriptors > 1_000
    });
    // For each a new client.
    for expected in 1..=5 {
        let answer = Client::new(&served.url()).invoke("counts", &json!({"action": "counter"}));
        assert_eq!(answer.unwrap().payload["count"], expected);
    }
    // Nobody has had to wait until all of the silent ones were disconnected.
    let descriptors = Resources::of(served.pid()).descriptors;
    assert!(descriptors > 1_000, "{descriptors}");
    drop(silent);
}

#[test]
fn privileged_events_are_json_whatever_their_size_and_depth() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let client = Client::new(&served.url());
    let mut settings = script::serving_config("def handle(n): pass");
    settings["MemorySize"] = json!(1769);
    settings["Timeout"] = json!(60);
    let image = Fixture::PythonOciArchive;
    client.create("f", &image, settings).unwrap();
    let url = format!("{}/2015-03-31/functions/f/invocations", served.url());
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let before = resources::peak_kb(served.pid());
    let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2)).into_bytes();
    let invalid = "InvalidRequestContentException";
    let large = "RequestEntityTooLargeException";
    for (event, status, error) in [
        (text(6_291_456), 200, ""),
        (text(6_291_457), 413, large),
        (text(50 << 20), 413, large),
        (deep.clone().into_bytes(), 200, ""),
        (deep.as_bytes()[1..].to_vec(), 400, invalid),
        (b"\"\xff\"".to_vec(), 400, invalid),
        (vec![0; 1_000], 400, invalid),
        (vec![], 200, ""),
    ] {
        let what = format!(
            "{} bytes: {}",
            event.len(),
            event[..event.len().min(9)].escape_ascii()
        );
        let mut answer = agent.post(&url).send(event).unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), status, "{what}: {body}");
        let name = answer.headers().get("x-amzn-errortype");
        let name = name.map_or("", |name| name.to_str().unwrap());
        assert_eq!(name, error, "{what}: {body}");
        if status == 200 {
            assert_eq!(body, "\"done\"", "{what}");
        }
    }
    // A megabyte of headers, and one of them that is too long.
    let long = "x".repeat(1 << 20);
    let answer = agent.post(&url).header("x-amz-client-context", &long);
    // It may be refused before it is through.
    let refused = answer.send("{}").map(|answer| answer.status().as_u16());
    assert!(!matches!(refused, Ok(200)), "{refused:?}");
    let long = answer_to_context(&agent, &url, &"x".repeat(100_000));
    assert_eq!(long, "InvalidParameterValueException");
    let grown = resources::peak_kb(served.pid()) - before;
    assert!(grown < GROWTH_KB, "{grown} KiB");
    let answer = client.invoke("f", &json!({})).unwrap();
    assert_eq!(answer.payload, "done");
}

/// The error of an invocation with this client context.
fn answer_to_context(agent: &ureq::Agent, url: &str, context: &str) -> String {
    let request = agent.post(url).header("x-amz-client-context", context);
    let answer = request.send("{}").unwrap();
    let name = answer.headers().get("x-amzn-errortype").unwrap();
    name.to_str().unwrap().to_owned()
}

/// Fills its `/tmp` with as many files as it takes.
const FILES: &str = r"
def handle(n):
    made = 0
    try:
        while True:
            os.mkdir(f'/tmp/{made}')
            for name in range(1000):
                os.close(os.open(f'/tmp/{made}/{name}', os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError: return made
";

#[test]
fn privileged_a_quarter_of_a_million_files_hold_up_nobody_when_they_go() {
    if !privileged() {
        return;
    }
    let service = Tidy::start();
    let client = &service.client;
    let mut settings = script::serving_config(FILES);
    settings["MemorySize"] = json!(3008);
    settings["Timeout"] = json!(120);
    settings["EphemeralStorage"] = json!({"Size": 4096});
    let image = Fixture::PythonOciArchive;
    client.create("files", &image, settings).unwrap();
    let settings = json!({"MemorySize": 1769, "Timeout": 60});
    let image = Fixture::RustOciArchive;
    client.create("counts", &image, settings).unwrap();
    let count = || {
        let begun = Instant::now();
        let answer = client.invoke("counts", &json!({"action": "counter"}));
        assert!(!answer.unwrap().failed);
        begun.elapsed()
    };
    count();
    let made = client.invoke("files", &json!({})).unwrap().payload;
    assert!(made.as_u64() > Some(255), "{made}");
    let devices = || {
        let left = service.leftovers();
        left.loop_devices.len()
    };
    let before = devices();
    let begun = Instant::now();
    client.delete("files").unwrap();
    let mut longest = Duration::ZERO;
    // One that stands by may take its place among those that remain.
    while devices() >= before {
        longest = longest.max(count());
        assert!(begun.elapsed() < wait::patiently(Duration::from_secs(60)));
    }
    let whole = begun.elapsed();
    assert!(longest < whole * 3 / 4, "{longest:?} of {whole:?}");
    service.end();
}

/// A group of v1's freezer, which holds killed processes too, as a disk does that does
/// not answer. It is gone when this is dropped.
struct Freezer(PathBuf);

impl Freezer {
    /// None where no such freezer is mounted.
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let freezer = mounts.lines().find_map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let has = fields[2] == "cgroup" && fields[3].split(',').any(|one| one == "freezer");
            has.then(|| PathBuf::from(fields[1]))
        })?;
        let group = freezer.join(format!("lambent-e2e-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        Some(Self(group))
    }

    fn hold(&self, pids: impl IntoIterator<Item = u32>) {
        for pid in pids {
            fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        }
        let state = self.0.join("freezer.state");
        fs::write(&state, "FROZEN").unwrap();
        wait::until("they are frozen", || {
            fs::read_to_string(&state).unwrap().trim() == "FROZEN"
        });
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        fs::write(self.0.join("freezer.state"), "THAWED").unwrap();
        wait::until("the group can go", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn privileged_who_cannot_be_killed_is_given_up_and_holds_up_nobody() {
    if !privileged() {
        return;
    }
    let Some(freezer) = Freezer::new() else {
        return;
    };
    let service = Tidy::start();
    let (served, client) = (&service.served, &service.client);
    for (name, timeout) in [("hangs", 3), ("counts", 60)] {
        let settings = json!({"MemorySize": 256, "Timeout": timeout});
        let image = Fixture::RustOciArchive;
        client.create(name, &image, settings).unwrap();
    }
    let count = |expected: u64| {
        let event = json!({"action": "counter"});
        let answer = client.invoke("counts", &event).unwrap();
        assert_eq!(answer.payload["count"], expected, "{}", answer.payload);
    };
    let event = json!({"action": "sleep", "ms": 60_000});
    let init = thread::scope(|scope| {
        let hanging = scope.spawn(|| Client::new(&served.url()).invoke("hangs", &event).unwrap());
        // Its INIT is over.
        wait::until("it runs", || served.log().contains("START RequestId: "));
        let init = leftovers::only_init(served.pid());
        freezer.hold(leftovers::children(init).into_iter().chain([init]));
        let payload = hanging.join().unwrap().payload;
        assert_eq!(payload["errorType"], "Sandbox.Timedout", "{payload}");
        init
    });
    count(1);
    assert!(leftovers::alive(init), "it can be killed");
    count(2);
    // For a minute.
    let (patience, begun) = (wait::patiently(Duration::from_secs(120)), Instant::now());
    while !served.log().contains("has not ended") {
        assert!(begun.elapsed() < patience, "{}", served.log());
        sleep(Duration::from_millis(100));
    }
    let log = served.log();
    let warned = "warning: hangs: a process of the environment was killed 60 seconds ago";
    assert_eq!(log.matches(warned).count(), 1, "{log}");
    count(3);
    // Another one takes its place.
    let event = json!({"action": "counter"});
    let answer = client.invoke("hangs", &event).unwrap();
    assert_eq!(answer.payload["count"], 1, "{}", answer.payload);
    assert!(leftovers::alive(init), "it can be killed");
    drop(freezer);
    wait::until("it has ended", || !leftovers::alive(init));
    count(4);
    service.end();
}

/// A moment of what `make bench-limits` does for long.
#[test]
fn privileged_mixed_abuse_leaves_nothing_and_others_alone() {
    if !privileged() {
        return;
    }
    let outcome = mixture::run(Mixture::MOMENT).unwrap();
    if let Err(error) = outcome.check() {
        panic!("{error}\n{outcome}");
    }
}

fn environments(lambent: &Lambent) -> usize {
    serve::environments(lambent).len()
}
