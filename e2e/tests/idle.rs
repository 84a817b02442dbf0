//! Environments with nothing to do, and how they end.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lambent_e2e::client::Client;
use lambent_e2e::extension::{self, COUNTING, RUNTIME, program};
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::memory_group::MemoryGroup;
use lambent_e2e::serve::{Served, environments};
use lambent_e2e::wait::{patiently, seconds, until};
use lambent_e2e::{Lambent, privileged, script};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A service with one function, `f`.
struct One {
    lambent: Lambent,
    served: Served,
    client: Client,
}

impl One {
    fn start(image: &str, arguments: &[&str]) -> Self {
        Self::with_timeout(10, image, arguments)
    }

    fn with_timeout(timeout: u64, image: &str, arguments: &[&str]) -> Self {
        let lambent = Lambent::new();
        let timeout = seconds(timeout);
        let ours = [
            image,
            "--name",
            "f",
            "--memory",
            "512",
            "--timeout",
            &timeout,
        ];
        let served = Served::start(&lambent, &[&ours, arguments].concat());
        let client = Client::new(&served.url());
        Self {
            lambent,
            served,
            client,
        }
    }

    /// Invokes the function. What it answers, and whether it failed.
    fn invoke(&self) -> (Value, bool) {
        let event = json!({"action": "counter"});
        let answer = self.client.invoke("f", &event).expect("an answer");
        (answer.payload, answer.failed)
    }

    /// Waits until its only environment has nothing to do.
    fn until_idle(&self) {
        until("it is idle", || {
            let all = environments(&self.lambent);
            all.len() == 1 && all[0]["state"] == "idle"
        });
    }

    /// Environments in which something runs.
    fn inits(&self) -> Vec<u32> {
        leftovers::inits(self.served.pid())
    }
}

#[test]
fn privileged_idle_environments_end() {
    if !privileged() {
        return;
    }
    let one = One::start(&Fixture::RustOciArchive.reference(), &["--idle", "1"]);
    assert_eq!(one.invoke().0["count"], 1);
    until("the idle environment ends", || one.inits().is_empty());
    assert_eq!(one.invoke().0["count"], 1);
}

/// Somebody kills what is frozen: process 1 of the container, and with it all the rest.
#[test]
fn privileged_an_environment_that_dies_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    dies_while_idle(&image, |init| init);
}

/// Or the runtime alone. Process 1 is frozen too, and can tell nobody.
#[test]
fn privileged_a_runtime_that_dies_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    dies_while_idle(&image, leftovers::only_child);
}

/// Or an extension.
#[test]
fn privileged_an_extension_that_dies_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let agent = program("agent", "follow(['INVOKE', 'SHUTDOWN'])");
    let runtime = format!("{RUNTIME}{COUNTING}");
    let image = extension::image(directory.path(), &runtime, &[agent]);
    dies_while_idle(&image, |init| {
        let is_agent = |pid: &u32| {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|command| command.contains("/opt/extensions/agent"))
        };
        let mut children = leftovers::children(init).into_iter();
        children.find(is_agent).expect("the extension")
    });
}

/// Or the kernel kills it, because the memory of its environment is wanted by somebody
/// else who counts in it.
#[test]
fn privileged_an_environment_that_is_out_of_memory_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    ends_while_idle(&image, |init| {
        let runtime = leftovers::only_child(init);
        let hogs = MemoryGroup::of(init).exhaust(512);
        until("the kernel has killed the runtime", || {
            !leftovers::alive(runtime)
        });
        // Who misses the function kills whatever else is in its group.
        if let Some(mut hogs) = hogs {
            hogs.wait().expect("a status");
        }
    });
}

/// Kills, by the pid of the container's process 1, what is idle after two invocations.
fn dies_while_idle(image: &str, victim: impl Fn(u32) -> u32) {
    ends_while_idle(image, |init| leftovers::kill(victim(init)));
}

/// Has an environment end that is idle after two invocations, by the pid of its process 1.
fn ends_while_idle(image: &str, end: impl Fn(u32)) {
    let one = One::start(image, &[]);
    let first = one.invoke();
    assert!(!first.1, "{first:?}\n{}", one.served.log());
    assert_ne!(one.invoke(), first, "it is another environment");
    one.until_idle();
    let init = leftovers::only_init(one.served.pid());
    end(init);
    if v2_freezes() {
        // Nobody asks for it in between.
        until("the service misses it", || {
            environments(&one.lambent).is_empty()
        });
        until("nothing of it is left", || one.inits().is_empty());
        assert_eq!(one.invoke(), first, "not a new one: {}", one.served.log());
        // The report comes after the answer.
        until("the new one has reported its INIT", || {
            one.served.log().matches("Init Duration").count() == 2
        });
    } else {
        // What v1 has frozen dies when it is thawed: before the next invocation, in it, or
        // after its answer. Soon another process 1 answers.
        until("another one answers", || {
            let (_, failed) = one.invoke();
            let inits = one.inits();
            !failed && !inits.is_empty() && !inits.contains(&init)
        });
    }
}

/// Whether this host has the freezer of cgroup v2: Lambent takes that one if it can.
fn v2_freezes() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table");
    mounts
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("cgroup2"))
}

/// A function whose first invocation leaves a daemon behind: in a session of its own, an
/// orphan, with nothing open but the log and a socket. It forks, logs and counts without
/// a pause. Later invocations answer with what the daemon says, once it has gone on.
const DAEMON: &str = r#"
def daemon():
    os.close(0)
    os.closerange(3, 1024)
    listener = socket.create_server(("127.0.0.1", 5000))
    def greet():
        while True: listener.accept()[0].sendall(b"alive")
    threading.Thread(target=greet).start()
    ticks = os.open("/tmp/ticks", os.O_CREAT | os.O_WRONLY)
    n = 0
    while True:
        n += 1
        os.pwrite(ticks, f"{n:012}".encode(), 0)
        os.write(1, b"tick\n")
        child = os.fork()
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
def ticks():
    with open("/tmp/ticks") as f: return f.read()
def handle(n):
    if n > 1:
        before = ticks()
        with socket.create_connection(("127.0.0.1", 5000)) as s: answer = s.recv(5).decode()
        while ticks() == before: time.sleep(0.001)
        return answer
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0: daemon()
        os._exit(0)
    os.waitpid(child, 0)
    while not os.path.exists("/tmp/ticks"): time.sleep(0.01)
"#;

#[test]
fn privileged_a_daemon_is_frozen_and_ends_with_its_environment() {
    if !privileged() {
        return;
    }
    let image = Fixture::PythonOciArchive.reference();
    let code = script::serving(DAEMON);
    let one = One::start(&image, &code.each_ref().map(String::as_str));
    let services = leftovers::services(one.lambent.root());
    assert_eq!(one.invoke(), (json!("done"), false), "{}", one.served.log());
    let init = leftovers::only_init(one.served.pid());
    let ticks = || {
        let text = fs::read_to_string(format!("/proc/{init}/root/tmp/ticks"));
        text.expect("the daemon's count")
    };
    let stands_still = |moment: u64| {
        let before = ticks();
        sleep(Duration::from_millis(moment));
        ticks() == before
    };
    for _ in 0..5 {
        one.until_idle();
        until("the daemon is frozen", || stands_still(50));
        assert!(stands_still(300), "it goes on while nothing is invoked");
        // The runtime and the daemon, in the groups that end with the environment.
        let processes = leftovers::children(init);
        assert!(processes.len() >= 2, "{processes:?}");
        for pid in processes {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("groups");
            let within = groups.contains(&format!("/lambent/{}/", services[0]));
            assert!(within, "{pid}: {groups}");
        }
        let frozen = ticks();
        let alive = one.invoke();
        assert_eq!(alive, (json!("alive"), false), "{}", one.served.log());
        assert!(ticks() > frozen, "it does not go on in an invocation");
    }
    // Frozen, or about to be, with a fork on its way.
    one.served.end(Signal::TERM);
    let left = Leftovers::of(one.lambent.root(), &services);
    assert!(left.is_empty(), "{left:?}");
}

/// A function with hundreds of timers that are due while it is frozen, and which says how
/// much time its second invocation has when all have fired.
const TIMERS: &str = r"
fired = 0
def fire():
    global fired
    fired += 1
def handle(n):
    if n == 1:
        for _ in range(300): threading.Timer(1, fire).start()
        return
    while fired < 300: time.sleep(0.01)
    return deadline_ms - time.time() * 1000
";

#[test]
fn privileged_the_time_of_an_invocation_begins_when_it_does() {
    if !privileged() {
        return;
    }
    let image = Fixture::PythonOciArchive.reference();
    let code = script::serving(TIMERS);
    let timeout = 3;
    let one = One::with_timeout(timeout, &image, &code.each_ref().map(String::as_str));
    assert_eq!(one.invoke(), (json!("done"), false), "{}", one.served.log());
    one.until_idle();
    // Longer than an invocation may take, and until all timers are due.
    let whole = patiently(Duration::from_secs(timeout));
    sleep(whole + Duration::from_millis(500));
    let (left_ms, failed) = one.invoke();
    assert!(!failed, "{left_ms}\n{}", one.served.log());
    let left_ms = left_ms.as_f64().expect("a number");
    assert!(left_ms > 0.0, "{left_ms} of {whole:?}");
    assert_eq!(one.inits().len(), 1, "it is another environment");
}

/// A service that keeps so many environments of a function with this configuration.
fn provisioned(directory: &Path, many: usize, function: &str) -> (Lambent, Served) {
    let file = directory.join("lambent.toml");
    let text = format!(
        "[functions.f]\n{function}\nauto_publish_alias = \"live\"\n\
         provisioned_concurrent_executions = {many}\n"
    );
    fs::write(&file, text).expect("a file");
    let lambent = Lambent::new();
    let file = file.to_str().expect("UTF-8");
    let served = Served::start(&lambent, &["--config", file, "--memory-limit", "100000"]);
    until("all are ready", || {
        let all = environments(&lambent);
        let idle = all.iter().filter(|one| one["state"] == "idle");
        idle.count() == many
    });
    (lambent, served)
}

#[test]
fn privileged_a_service_ends_all_its_environments() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    for many in [1, 8, 64] {
        let directory = tempfile::tempdir().expect("a directory");
        let function = format!("image = {image:?}\nmemory_size = 128");
        let (lambent, served) = provisioned(directory.path(), many, &function);
        let services = leftovers::services(lambent.root());
        assert_eq!(leftovers::inits(served.pid()).len(), many);
        let (status, log) = served.end(Signal::TERM);
        assert_eq!(status.code(), Some(0), "{many}: {log}");
        let left = Leftovers::of(lambent.root(), &services);
        assert!(left.is_empty(), "{many}: {left:?}");
    }
}

/// Environments that are ended at once.
const MANY: usize = 8;

/// Each has two seconds to end, and uses them.
#[test]
fn privileged_environments_with_deaf_extensions_end_side_by_side() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let deaf = program(
        "deaf",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nidentifier = register(['SHUTDOWN'])\n\
         note(event(identifier)['eventType'])\ntime.sleep(600)",
    );
    let image = extension::image(directory.path(), &format!("{RUNTIME}{COUNTING}"), &[deaf]);
    let function = format!("image = {image:?}\nmemory_size = 512");
    let (lambent, served) = provisioned(directory.path(), MANY, &function);
    let services = leftovers::services(lambent.root());
    let begun = Instant::now();
    let (status, log) = served.end(Signal::TERM);
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.matches(r#""what": "SHUTDOWN""#).count(), MANY, "{log}");
    // One after the other that would be sixteen.
    assert!(took < patiently(Duration::from_secs(10)), "{took:?}: {log}");
    let left = Leftovers::of(lambent.root(), &services);
    assert!(left.is_empty(), "{left:?}");
}
