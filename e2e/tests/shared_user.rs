//! What environments share because they have one user: the kernel counts some things
//! for each user of the host, not for each environment.

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::serve::Tidy;
use lambent_e2e::{privileged, script};
use serde_json::{Value, json};

/// Takes of each kind what the kernel gives, says how much, and holds it. A second one
/// that does the same says what is left.
const TAKE: &str = r#"
import array, ctypes, fcntl, itertools, json, select, time
libc = ctypes.CDLL(None, use_errno=True)
held = []
def take(limit, one):
    n = 0
    try:
        while n < limit:
            one()
            n += 1
    except OSError:
        pass
    return n
def watch():
    fd = libc.inotify_init1(0)
    if fd < 0: raise OSError(ctypes.get_errno(), "")
    held.append(fd)
def pipe():
    held.append(os.pipe())
    fcntl.fcntl(held[-1][1], 1031, 1 << 20)
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
left.setblocking(False)
pairs = [(left, right)]
def in_flight():
    s, _ = pairs[-1]
    try:
        s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 50))])
    except BlockingIOError:
        new = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        new[0].setblocking(False)
        pairs.append(new)
def timer():
    t = ctypes.c_void_p()
    if libc.timer_create(1, None, ctypes.byref(t)) < 0: raise OSError(ctypes.get_errno(), "")
# As many watches as there are: of each file in each instance. Two instances are left.
os.mkdir("/tmp/d")
names = [f"/tmp/d/{n}".encode() for n in range(4000)]
for name in names: os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
def watch_files():
    fd = held[len(held) - 1 - watched[0] // len(names)]
    if libc.inotify_add_watch(fd, names[watched[0] % len(names)], 2) < 0: raise OSError(ctypes.get_errno(), "")
    watched[0] += 1
watched = [0]
polled = [os.eventfd(0) for _ in range(100)]
def poll():
    e = select.epoll()
    held.append(e)
    for fd in polled: e.register(fd, select.EPOLLIN)
# Locks of files, one byte each, which no limit counts.
locked = open("/tmp/locked", "w")
place = itertools.count(0, 2)
def lock(): fcntl.lockf(locked, fcntl.LOCK_EX, 1, next(place))
answer = {}
answer["inotify"] = take(400, watch)
answer["watches"] = take(400000, watch_files) if held else 0
answer["polls"] = take(300, poll)
answer["locks"] = take(2000, lock)
answer["pipes"] = take(100, pipe)
answer["inFlight"] = take(200, in_flight)
answer["timers"] = take(200000, timer)
c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", json.dumps(answer))
c.getresponse().read()
c.request("GET", "/2018-06-01/runtime/invocation/next")
c.getresponse()
"#;

fn taker() -> Value {
    let code = format!("{}{}", script::TAKE_EVENT, TAKE);
    json!({
        "MemorySize": 512,
        "Timeout": 60,
        "ImageConfig": {"EntryPoint": ["/usr/bin/python3", "-c", code], "Command": []},
    })
}

#[test]
fn privileged_a_function_answers_whatever_others_of_its_user_hold() {
    if !privileged() {
        return;
    }
    let service = Tidy::start();
    let client = &service.client;
    let settings = json!({"MemorySize": 512, "Timeout": 30});
    for (name, image) in [
        ("rust", Fixture::RustOciArchive),
        ("python", Fixture::PythonOciArchive),
        ("node", Fixture::NodeDockerArchive),
    ] {
        client
            .create(name, &image, settings.clone())
            .expect("a function");
    }
    for name in ["first", "second"] {
        let created = client.create(name, &Fixture::PythonOciArchive, taker());
        created.expect("a function");
    }
    // It is frozen with all that it has.
    let first = client.invoke("first", &json!({})).expect("an answer");
    assert!(!first.failed, "{}", first.payload);
    for kind in [
        "inotify", "watches", "polls", "locks", "pipes", "inFlight", "timers",
    ] {
        assert!(first.payload[kind].as_u64() > Some(0), "{}", first.payload);
    }
    for name in ["rust", "python", "node"] {
        for _ in 0..3 {
            let answer = client.invoke(name, &json!({"action": "counter"}));
            let answer = answer.expect("an answer");
            assert!(!answer.failed, "{name}: {}", answer.payload);
        }
    }
    // What is left to another that asks for the same.
    let second = client.invoke("second", &json!({})).expect("an answer");
    assert!(!second.failed, "{}", second.payload);
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("first {}\nsecond {}\n", first.payload, second.payload).as_bytes(),
    );
    service.end();
}
