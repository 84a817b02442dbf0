//! What a function makes the kernel keep for it is its own memory, or has an end.

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers;
use lambent_e2e::memory_group::{MemoryGroup, counts_sockets};
use lambent_e2e::serve::Tidy;
use lambent_e2e::{Lambent, privileged, script};
use serde_json::json;

/// Names in `/tmp` that are long enough to have a piece of memory each, half of them
/// looked for in vain and half of them made and removed. Then memory of its own.
const NAMES: &str = r"
def handle(n):
    if n > 1:
        x = bytearray(800 << 20)
        return len(x)
    for k in range(1000000): os.access(f'/tmp/{k:0250}', 0)
    for k in range(20000):
        os.close(os.open(f'/tmp/{k:0250}', os.O_CREAT | os.O_WRONLY))
        os.unlink(f'/tmp/{k:0250}')
";

/// The names alone take almost half of that, and what the runtime has is 20.
const NAMES_MB: u64 = 1_024;

#[test]
fn privileged_names_that_the_kernel_remembers_are_the_functions_memory() {
    if !privileged() {
        return;
    }
    let service = Tidy::start();
    let (served, client) = (&service.served, &service.client);
    let mut settings = script::serving_config(NAMES);
    settings["MemorySize"] = NAMES_MB.into();
    settings["Timeout"] = json!(300);
    let image = Fixture::PythonOciArchive;
    client.create("names", &image, settings).unwrap();
    let answer = client.invoke("names", &json!({})).unwrap();
    assert_eq!(answer.payload, "done");
    let init = leftovers::only_init(served.pid());
    let charged = MemoryGroup::of(init).charged();
    assert!(charged > NAMES_MB << 18, "{charged}: it counts elsewhere");
    assert!(charged <= NAMES_MB << 20, "{charged}: more than there is");
    // They go when the function needs the memory.
    let answer = client.invoke("names", &json!({})).unwrap();
    assert_eq!(answer.payload, 800 << 20);
    assert_eq!(leftovers::only_init(served.pid()), init);
    service.end();
}

/// As many pairs of sockets as a function may have, each filled in both directions until
/// the kernel takes no more. Says how many bytes they hold.
const BUFFERS: &[(&str, &str)] = &[
    (
        "TCP",
        r"
l = socket.create_server(('127.0.0.1', 5000), backlog=1000)
def pair():
    a = socket.create_connection(('127.0.0.1', 5000))
    return a, l.accept()[0]
",
    ),
    (
        "UDP",
        r"
def pair():
    both = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for s in both:
        s.bind(('127.0.0.1', 0))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    for n in range(2): both[n].connect(both[1 - n].getsockname())
    return both
",
    ),
];

/// The kernel's own tables say what waits in which direction.
const FILL: &str = r"
def queued(protocol):
    with open(f'/proc/net/{protocol}') as table:
        queues = [line.split()[4].split(':') for line in table.read().splitlines()[1:]]
    return sum(int(half, 16) for queue in queues for half in queue)
def handle(n):
    held = []
    try:
        while len(held) < 900:
            both = pair()
            held += both
            for s in both:
                s.setblocking(False)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
    except OSError: pass
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for s in held:
            try:
                for _ in range(16): s.send(b'x' * 60000)
            except OSError: pass
    return {'sockets': len(held), 'bytes': queued('tcp') + queued('udp')}
";

const BUFFERS_MB: u64 = 512;

#[test]
fn privileged_buffers_of_sockets_are_limited() {
    if !privileged() {
        return;
    }
    for (name, pair) in BUFFERS {
        let lambent = Lambent::new();
        let memory = BUFFERS_MB.to_string();
        let arguments = ["--memory", &memory, "--timeout", "120"];
        let run = script::serve(&lambent, &format!("{pair}{FILL}"), &arguments);
        let payload = run.result()["payload"].clone();
        if counts_sockets() && payload["errorType"] == "Runtime.OutOfMemory" {
            continue;
        }
        assert!(payload["sockets"].as_u64() > Some(100), "{name}: {run:?}");
        let bytes = payload["bytes"].as_u64().unwrap();
        // v1 has a limit of their own, v2 that of all memory.
        let shift = if counts_sockets() { 20 } else { 17 };
        assert!(bytes > 1 << 20, "{name}: {payload}");
        assert!(bytes < BUFFERS_MB << shift, "{name}: {payload}");
    }
}
