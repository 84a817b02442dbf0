//! What a hostile function tries against the kernel, and what it gets.
//!
//! The rows R-20 to R-38 of a catalogue of attacks on container runtimes: rights,
//! system calls, sockets, files that reach the host, other processes. Everything
//! is refused with an error; nothing kills the function, because language runtimes
//! probe for some of these calls.

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::script::{self, findings};
use lambent_e2e::{Lambent, Run, privileged, wait};
use serde_json::{Value, json};

/// A call that must fail, with the errors that are as good as each other.
struct Refused(&'static str, libc::c_long, &'static str, &'static [i32]);

/// Filtered, or without the right to it.
const DENIED: &[i32] = &[libc::EPERM, libc::ENOSYS];

#[rustfmt::skip]
const CALLS: &[Refused] = &[
    Refused("unshare(CLONE_NEWUSER)", libc::SYS_unshare, "0x10000000", DENIED),
    Refused("unshare(CLONE_NEWNS)", libc::SYS_unshare, "0x20000", DENIED),
    Refused("setns", libc::SYS_setns, "0, 0", DENIED),
    Refused("clone(CLONE_NEWUSER)", libc::SYS_clone, "0x10000000 | 17, 0, 0, 0, 0", DENIED),
    Refused("clone3", libc::SYS_clone3, "b'\\0' * 88, 88", &[libc::ENOSYS]),
    Refused("mount", libc::SYS_mount, "b'none', b'/tmp', b'tmpfs', 0, 0", DENIED),
    Refused("mount(MS_REMOUNT)", libc::SYS_mount, "b'none', b'/', 0, 0x20, 0", DENIED),
    Refused("mount(MS_BIND)", libc::SYS_mount, "b'/tmp', b'/var', 0, 0x1000, 0", DENIED),
    Refused("umount2(MNT_DETACH)", libc::SYS_umount2, "b'/proc', 2", DENIED),
    Refused("pivot_root", libc::SYS_pivot_root, "b'/', b'/tmp'", DENIED),
    Refused("open_tree", libc::SYS_open_tree, "-100, b'/', 1", DENIED),
    Refused("move_mount", libc::SYS_move_mount, "-1, b'', -1, b'', 0", DENIED),
    Refused("fsopen", libc::SYS_fsopen, "b'tmpfs', 0", DENIED),
    Refused("fsmount", libc::SYS_fsmount, "-1, 0, 0", DENIED),
    Refused("chroot", libc::SYS_chroot, "b'/tmp'", DENIED),
    Refused("mknod(S_IFCHR)", libc::SYS_mknodat, "-100, b'/tmp/mem', 0o20666, 0x101", DENIED),
    Refused("setuid(0)", libc::SYS_setuid, "0", DENIED),
    Refused("setgid(0)", libc::SYS_setgid, "0", DENIED),
    Refused("setgroups", libc::SYS_setgroups, "1, b'\\0' * 4", DENIED),
    Refused("sethostname", libc::SYS_sethostname, "b'host', 4", DENIED),
    Refused("setdomainname", libc::SYS_setdomainname, "b'host', 4", DENIED),
    Refused("clock_settime", libc::SYS_clock_settime, "0, b'\\0' * 16", DENIED),
    Refused("settimeofday", libc::SYS_settimeofday, "b'\\0' * 16, 0", DENIED),
    Refused("adjtimex", libc::SYS_adjtimex, "b'\\1' + b'\\0' * 255", DENIED),
    Refused("io_uring_setup", libc::SYS_io_uring_setup, "1, b'\\0' * 120", DENIED),
    Refused("userfaultfd", libc::SYS_userfaultfd, "0", DENIED),
    Refused("bpf", libc::SYS_bpf, "0, b'\\0' * 64, 64", DENIED),
    Refused("perf_event_open", libc::SYS_perf_event_open, "b'\\0' * 128, 0, -1, -1, 0", DENIED),
    Refused("keyctl", libc::SYS_keyctl, "0, -3, 0, 0, 0", DENIED),
    Refused("add_key", libc::SYS_add_key, "b'user', b'a', b'b', 1, -3", DENIED),
    Refused("request_key", libc::SYS_request_key, "b'user', b'a', 0, -3", DENIED),
    Refused("kexec_load", libc::SYS_kexec_load, "0, 0, 0, 0", DENIED),
    Refused("init_module", libc::SYS_init_module, "b'', 0, b''", DENIED),
    Refused("finit_module", libc::SYS_finit_module, "0, b'', 0", DENIED),
    Refused("delete_module", libc::SYS_delete_module, "b'ext4', 0", DENIED),
    Refused("open_by_handle_at", libc::SYS_open_by_handle_at, "-100, b'\\0' * 64, 0", DENIED),
    Refused("name_to_handle_at", libc::SYS_name_to_handle_at, "-100, b'/', b'\\0' * 64, 0, 0", DENIED),
    Refused("fanotify_init", libc::SYS_fanotify_init, "0, 0", DENIED),
    Refused("swapon", libc::SYS_swapon, "b'/tmp/x', 0", DENIED),
    Refused("swapoff", libc::SYS_swapoff, "b'/tmp/x'", DENIED),
    Refused("quotactl", libc::SYS_quotactl, "0, b'', 0, 0", DENIED),
    Refused("move_pages", libc::SYS_move_pages, "0, 0, 0, 0, 0, 0", DENIED),
    Refused("migrate_pages", libc::SYS_migrate_pages, "0, 0, 0, 0", DENIED),
    Refused("vmsplice", libc::SYS_vmsplice, "0, 0, 0, 0", DENIED),
    Refused("personality(READ_IMPLIES_EXEC)", libc::SYS_personality, "0x400000", DENIED),
    Refused("reboot", libc::SYS_reboot, "0, 0, 0, 0", DENIED),
    Refused("syslog", libc::SYS_syslog, "3, 0, 0", DENIED),
    Refused("acct", libc::SYS_acct, "0", DENIED),
    Refused("vhangup", libc::SYS_vhangup, "", DENIED),
    Refused("ptrace(ATTACH, 1)", libc::SYS_ptrace, "16, 1, 0, 0", DENIED),
    Refused("process_vm_readv(1)", libc::SYS_process_vm_readv, "1, 0, 0, 0, 0, 0", DENIED),
    // From the pool of this host, which no limit of a function counts.
    Refused("mmap(MAP_HUGETLB)", libc::SYS_mmap, "0, 2 << 20, 3, 0x40022, -1, 0", &[libc::ENOMEM]),
    Refused("memfd_create(MFD_HUGETLB)", libc::SYS_memfd_create, "b'x', 4", &[libc::ENOMEM]),
    Refused("shmget(SHM_HUGETLB)", libc::SYS_shmget, "0, 2 << 20, 0o5600", &[libc::ENOMEM]),
    // What this host has of it is for all of its processes together.
    Refused("io_setup", libc::SYS_io_setup, "1, b'\\0' * 8", &[libc::ENOSYS]),
    // Counted for all processes of a user.
    Refused("mq_open", libc::SYS_mq_open, "b'/q', 0o102, 0o600, 0", DENIED),
    Refused("pidfd_getfd", libc::SYS_pidfd_getfd, "0, 0, 0", DENIED),
    Refused("kexec_file_load", libc::SYS_kexec_file_load, "0, 0, 0, 0, 0", DENIED),
    Refused("kcmp", libc::SYS_kcmp, "1, 1, 0, 0, 0", DENIED),
];

#[test]
fn privileged_dangerous_calls_are_refused_without_a_signal() {
    if !privileged() {
        return;
    }
    let calls: Vec<String> = CALLS
        .iter()
        .map(|Refused(name, number, arguments, _)| {
            let arguments = if arguments.is_empty() {
                String::new()
            } else {
                format!(", {arguments}")
            };
            format!(
                "ctypes.set_errno(0)\nr = libc.syscall({number}{arguments})\n\
                 answer[{name:?}] = 0 if r >= 0 else ctypes.get_errno()"
            )
        })
        .collect();
    let code = format!(
        "libc = ctypes.CDLL(None, use_errno=True)\n{}",
        calls.join("\n")
    );
    let answer = findings(&code, &["--timeout", "30"]);
    let wrong: Vec<String> = CALLS
        .iter()
        .filter_map(|Refused(name, _, _, expected)| {
            let errno = i32::try_from(answer[name].as_i64().unwrap()).unwrap();
            (!expected.contains(&errno)).then(|| format!("{name}: errno {errno}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn privileged_other_call_tables_are_filtered_too() {
    if !privileged() {
        return;
    }
    // Number 20 (getpid) of the 32-bit table through int 0x80, and getpid with
    // the x32 bit.
    let code = r#"
import mmap
m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
m.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
f = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
r = f()
answer["int80"] = -r if r < 0 else 0
libc = ctypes.CDLL(None, use_errno=True)
r = libc.syscall(0x40000000 | 39)
answer["x32"] = 0 if r >= 0 else ctypes.get_errno()
"#;
    let answer = findings(code, &["--timeout", "10"]);
    for way in ["int80", "x32"] {
        let errno = answer[way].as_i64().unwrap();
        assert!(
            DENIED.contains(&errno.try_into().unwrap()),
            "{way}: {answer}"
        );
    }
}

#[test]
fn privileged_every_thread_and_child_has_no_rights() {
    if !privileged() {
        return;
    }
    let code = r#"
import glob, subprocess
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(3)]
for t in threads: t.start()
child = subprocess.Popen(["/bin/sleep", "60"])
wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups", "Uid")
def rights(path):
    lines = dict(l.split(":", 1) for l in open(path).read().splitlines())
    return {k: lines[k].split() for k in wanted}
answer["own"] = [rights(p) for p in glob.glob("/proc/self/task/*/status")]
answer["child"] = rights(f"/proc/{child.pid}/status")
answer["init"] = rights("/proc/1/status")
child.kill()
"#;
    let answer = findings(code, &["--timeout", "10"]);
    let own = answer["own"].as_array().unwrap();
    assert!(own.len() >= 4, "{answer}");
    for rights in own.iter().chain([&answer["child"], &answer["init"]]) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(rights[set], json!(["0000000000000000"]), "{rights}");
        }
        assert_eq!(rights["NoNewPrivs"], json!(["1"]), "{rights}");
        assert_eq!(rights["Seccomp"], json!(["2"]), "{rights}");
        assert_eq!(rights["Groups"], json!([]), "{rights}");
        assert_eq!(
            rights["Uid"],
            json!(["993", "993", "993", "993"]),
            "{rights}"
        );
    }
}

#[test]
fn privileged_socket_families_are_those_of_lambda() {
    if !privileged() {
        return;
    }
    let code = r"
libc = ctypes.CDLL(None, use_errno=True)
for family in range(46):
    for kind in (1, 2, 3):
        s = libc.socket(family, kind, 0)
        if s >= 0:
            answer.setdefault(str(family), []).append(kind)
            os.close(s)
pair = (ctypes.c_int * 2)()
answer['pairs'], answer['refusals'] = {}, {}
for family in range(46):
    for kind in (1, 2, 3, 4, 5):
        ctypes.set_errno(0)
        if libc.socketpair(family, kind, 0, pair) == 0:
            answer['pairs'].setdefault(str(family), []).append(kind)
            for s in pair: os.close(s)
        elif family not in (1, 2, 10, 16):
            answer['refusals'][errno.errorcode[ctypes.get_errno()]] = True
# ICMP, and anything at all: these are what a raw socket is made of.
for family in (2, 10):
    for protocol in (1, 58, 255):
        s = libc.socket(family, 3, protocol)
        answer['raw'] = answer.get('raw', True) and s < 0 and errno.errorcode[ctypes.get_errno()]
# Everything that netlink and IP could carry.
for family, kinds in ((2, (1, 2)), (10, (1, 2)), (16, (2, 3))):
    found, refused = set(), {}
    for protocol in range(400):
        for kind in kinds:
            ctypes.set_errno(0)
            s = libc.socket(family, kind, protocol)
            if s >= 0:
                found.add(protocol)
                os.close(s)
            else: refused[protocol] = errno.errorcode[ctypes.get_errno()]
    answer.setdefault('protocols', {})[family] = sorted(found)
    answer.setdefault('refused', {})[family] = sorted({e for p, e in refused.items() if p not in (0, 1, 6, 17, 58, 255, 262)})
";
    let mut answer = findings(code, &["--timeout", "10"]);
    let mut take = |name: &str| answer.as_object_mut().unwrap().remove(name).unwrap();
    assert_eq!(take("pairs"), json!({"1": [1, 2, 3, 5]}));
    // By the filter: without it the kernel would have looked for the family's module.
    assert_eq!(take("refusals"), json!({"EAFNOSUPPORT": true}));
    assert_eq!(take("raw"), "EPERM");
    let (protocols, refused) = (take("protocols"), take("refused"));
    // Of netlink what getifaddrs and udev's library use: nothing for audit, which is the
    // host's, nor for messages to others.
    assert_eq!(protocols["16"], json!([0, 15]), "{protocols}");
    for family in ["2", "10", "16"] {
        // By the filter, as by a kernel that has nothing else.
        assert_eq!(refused[family], json!(["EPROTONOSUPPORT"]), "{refused}");
        if family != "16" && protocols[family] != json!([]) {
            let found = protocols[family].as_array().unwrap();
            // ICMP and MPTCP where the host has them.
            for protocol in found {
                let known = [0, 1, 6, 17, 58, 262].map(|known| json!(known));
                assert!(known.contains(protocol), "{family}: {protocols}");
            }
            for protocol in [0, 6, 17] {
                assert!(found.contains(&json!(protocol)), "{family}: {protocols}");
            }
        }
    }
    // Streams and datagrams of UNIX (where a raw socket is a datagram one), IPv4
    // and IPv6; netlink, as getifaddrs uses it.
    let expected = json!({"1": [1, 2, 3], "2": [1, 2], "10": [1, 2], "16": [2, 3]});
    if answer.get("10").is_none() {
        // A kernel without IPv6.
        answer["10"] = json!([1, 2]);
    }
    assert_eq!(answer, expected);
}

#[test]
fn privileged_nothing_of_the_host_can_be_read_or_written() {
    if !privileged() {
        return;
    }
    let code = r#"
def attempt(name, path, mode):
    try:
        with open(path, mode) as f:
            data = f.read(64) if mode == "rb" else f.write(b"1")
        answer[name] = "empty" if mode == "rb" and not data else "done"
    except OSError as e:
        answer[name] = errno.errorcode[e.errno]
for path in WRITES: attempt("w " + path, path, "wb")
for path in READS: attempt("r " + path, path, "rb")
answer["cgroupfs"] = os.path.exists("/sys/fs/cgroup") and os.listdir("/sys/fs/cgroup")
answer["mounts"] = [l.split()[2] for l in open("/proc/self/mounts")]
points = [l.split()[4:6] for l in open("/proc/self/mountinfo")]
answer["readonly"] = [point for point, options in points if "ro" in options.split(",")]
answer["victim"] = int(open("/proc/self/oom_score_adj").read())
answer["exe"] = os.readlink("/proc/self/exe")
try: answer["exe1"] = os.readlink("/proc/1/exe")
except OSError as e: answer["exe1"] = errno.errorcode[e.errno]
try: answer["maps1"] = open("/proc/1/maps").read()
except OSError as e: answer["maps1"] = errno.errorcode[e.errno]
answer["cmdline1"] = open("/proc/1/cmdline").read()
answer["fds"] = sorted(int(f) for f in os.listdir("/proc/self/fd"))
"#;
    let writes = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/proc/sys/fs/binfmt_misc/register",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/ksm/run",
        "/sys/power/state",
        "/sys/block/loop0/queue/read_ahead_kb",
        "/proc/1/oom_score_adj",
        "/proc/self/uid_map",
        "/etc/passwd",
        "/var/task/main.py",
        "/dev/new",
    ];
    let reads = [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/interrupts",
        "/proc/sched_debug",
        "/proc/kmsg",
        "/proc/1/environ",
        "/proc/1/mem",
        "/proc/self/pagemap_of_init",
        "/sys/firmware/acpi/tables/DSDT",
        "/sys/devices/virtual/powercap/intel-rapl/intel-rapl:0/energy_uj",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/loop0",
        "/dev/loop-control",
        "/dev/fuse",
        "/dev/net/tun",
    ];
    let code = format!(
        "WRITES = {}\nREADS = {}\n{}",
        json!(writes),
        json!(reads),
        code
    );
    let answer = findings(&code, &["--timeout", "10"]);
    for path in writes {
        let got = answer[format!("w {path}")].as_str().unwrap();
        let refused = ["EACCES", "EPERM", "EROFS", "ENOENT", "ENXIO"];
        assert!(refused.contains(&got), "writing {path}: {got}");
    }
    for path in reads {
        let got = answer[format!("r {path}")].as_str().unwrap();
        let refused = ["EACCES", "EPERM", "ENOENT", "EIO", "empty"];
        assert!(refused.contains(&got), "reading {path}: {got}");
    }
    // Whoever it is that asks: most of it belongs to the host's root, which is nobody here.
    let readonly = answer["readonly"].as_array().unwrap();
    for path in [
        "/",
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/sys",
    ] {
        assert!(readonly.contains(&json!(path)), "{path}: {answer}");
    }
    // Where the host itself has no memory left, functions go before all others.
    assert!(answer["victim"].as_i64() >= Some(500), "{answer}");
    // No control groups to be seen: the directory of sysfs is empty.
    assert_eq!(answer["cgroupfs"], json!([]), "{answer}");
    let mounts = answer["mounts"].as_array().unwrap();
    assert!(
        !mounts
            .iter()
            .any(|kind| kind.as_str().unwrap().starts_with("cgroup")),
        "{answer}"
    );
    assert_eq!(
        answer["fds"].as_array().unwrap()[..3],
        [json!(0), json!(1), json!(2)],
        "{answer}"
    );
    // Standard streams, the connection, and the directory that was listed.
    assert!(answer["fds"].as_array().unwrap().len() <= 5, "{answer}");
    assert_eq!(answer["exe1"], "EACCES", "{answer}");
    assert_eq!(answer["maps1"], "EACCES", "{answer}");
    let program = lambent_e2e::program();
    assert!(
        !answer["cmdline1"]
            .as_str()
            .unwrap()
            .contains(program.to_str().unwrap()),
        "{answer}"
    );
}

/// What tells of the host and its other users, `*` being the number of a CPU.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/system/cpu/cpu*/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

#[test]
fn privileged_masked_paths_are_empty() {
    if !privileged() {
        return;
    }
    let code = format!(
        r#"
import glob
for pattern in {}:
    for path in glob.glob(pattern):
        try:
            answer[path] = os.listdir(path) if os.path.isdir(path) else open(path).read()
        except OSError as e:
            answer[path] = errno.errorcode[e.errno]
answer["cpus"] = len(glob.glob("/sys/devices/system/cpu/cpu[0-9]*"))
"#,
        json!(MASKED)
    );
    let mut answer = findings(&code, &["--timeout", "10"]);
    let found = answer.as_object_mut().unwrap();
    // They are looked for where they are.
    assert!(found.remove("cpus").unwrap().as_u64() > Some(0));
    assert!(found.contains_key("/proc/interrupts"), "{found:?}");
    for (path, content) in found {
        let masked = [json!([]), json!(""), json!("EACCES"), json!("EPERM")];
        assert!(masked.contains(content), "{path}: {content}");
    }
}

#[test]
fn privileged_the_supervisor_cannot_be_signalled_or_followed() {
    if !privileged() {
        return;
    }
    // kill(-1) spares the caller and process 1; to process 1 of a namespace only
    // signals that it handles are delivered, and ours handles none.
    let code = r#"
import json, os, signal, threading
def attack(n):
    if n == 0:
        return [n for n in os.listdir("/proc") if n.isdigit()]
    if n == 1:
        answer = {}
        for number in range(1, signal.NSIG):
            try: os.kill(1, number)
            except OSError as e: answer[number] = e.errno
        return answer
    if n in (2, 4) and os.fork() == 0:
        os.kill(-1, signal.SIGSTOP if n == 2 else signal.SIGKILL)
        threading.Event().wait()
    if n in (2, 4):
        threading.Event().wait()
    return "answered"
def handle(n):
    with open("/tmp/n", "a+") as f:
        f.seek(0)
        n = len(f.read())
        f.write("x")
    return attack(n)
"#;
    let serving = script::serving(code);
    let timeout = wait::seconds(5);
    let arguments = ["--memory", "1769", "--repeat", "6", "--timeout", &timeout];
    let arguments: Vec<&str> = serving
        .iter()
        .map(String::as_str)
        .chain(arguments)
        .collect();
    let lambent = Lambent::new();
    let run = lambent.invoke(
        &Fixture::PythonOciArchive.reference(),
        &json!({}),
        &arguments,
    );
    let results = run.results();
    let payloads: Vec<&Value> = results.iter().map(|result| &result["payload"]).collect();
    assert_eq!(payloads.len(), 6, "{run:?}");
    assert_eq!(payloads[0], &json!(["1", "2"]), "{run:?}");
    // All are sent, and none does anything.
    assert_eq!(payloads[1], &json!({}), "{run:?}");
    for (stopped, kind) in [(2, "Sandbox.Timedout"), (4, "Runtime.ExitError")] {
        assert_eq!(payloads[stopped]["errorType"], kind, "{run:?}");
        assert_eq!(payloads[stopped + 1], "answered", "{run:?}");
    }
    let cold: Vec<bool> = results
        .iter()
        .map(|result| result["coldStart"] == true)
        .collect();
    assert_eq!(cold, [true, false, false, true, false, true], "{run:?}");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_only_its_own_runtime_api_can_be_reached() {
    if !privileged() {
        return;
    }
    // Something listens on the host, on TCP and as an abstract UNIX socket.
    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let name = format!("lambent-e2e-{port}");
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
            &name,
        )
        .unwrap();
    let _unix = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let code = format!(
        r#"
def reach(name, family, address):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(2)
    try:
        s.connect(address)
        answer[name] = "connected"
    except OSError as e:
        answer[name] = type(e).__name__ if e.errno is None else errno.errorcode[e.errno]
reach("loopback", socket.AF_INET, ("127.0.0.1", {port}))
reach("metadata", socket.AF_INET, ("169.254.169.254", 80))
reach("abstract", socket.AF_UNIX, "\0{name}")
reach("own", socket.AF_INET, ("127.0.0.1", 9001))
answer["unix"] = [l.split()[-1] for l in open("/proc/net/unix").read().splitlines()[1:] if "@" in l]
"#
    );
    let answer = findings(&code, &["--timeout", "20"]);
    assert_eq!(answer["own"], "connected", "{answer}");
    for other in ["loopback", "abstract"] {
        assert_eq!(answer[other], "ECONNREFUSED", "{other}: {answer}");
    }
    assert_eq!(answer["metadata"], "ENETUNREACH", "{answer}");
    assert_eq!(answer["unix"], json!([]), "{answer}");
}

#[test]
fn privileged_kernel_objects_are_bounded() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    // Locked, shared and unnamed memory count as memory; queues and segments are
    // the environment's own.
    for (name, code) in [
        (
            "memfd",
            "f = os.memfd_create('x')\nwhile 1: os.write(f, b'x' * 1000000)",
        ),
        (
            "shared mappings",
            "import mmap\nm = []\nwhile 1:\n  m.append(mmap.mmap(-1, 1 << 20))\n  m[-1].write(b'x' * (1 << 20))",
        ),
        (
            "locked memory",
            "import ctypes\nif ctypes.CDLL(None).mlockall(3): raise SystemExit('bounded')\nm = []\nwhile 1:\n  \
             try: m.append(b'x' * 1000000)\n  except MemoryError: raise SystemExit('bounded')",
        ),
        (
            "shared segments",
            "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\nwhile 1:\n  \
             i = libc.shmget(0, 1 << 20, 0o1600)\n  if i < 0: raise SystemExit('bounded')\n  \
             ctypes.memset(libc.shmat(i, None, 0), 120, 1 << 20)",
        ),
        (
            "segments that nobody touches",
            "import ctypes\nlibc = ctypes.CDLL(None)\nn = 0\n\
             while libc.shmget(0, 1 << 20, 0o1600) >= 0:\n  n += 1\n  assert n < 100000\n\
             raise SystemExit('bounded')",
        ),
        (
            "socket buffers",
            "p = []\nwhile 1:\n  try: p.append(socket.socketpair())\n  except OSError: raise SystemExit('bounded')\n  \
             for s in p[-1]:\n    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)\n    s.setblocking(False)\n    \
             try:\n      while 1: s.send(b'x' * 65536)\n    except OSError: pass",
        ),
        (
            "pipes",
            "import fcntl\np = []\nwhile 1:\n  try:\n    p.append(os.pipe())\n    fcntl.fcntl(p[-1][1], 1031, 1 << 20)\n    \
             os.set_blocking(p[-1][1], False)\n    os.write(p[-1][1], b'x' * (1 << 20))\n  except OSError: break\n\
             raise SystemExit('bounded')",
        ),
    ] {
        let run: Run = script::start(&lambent, code, &["--timeout", "60"])
            .wait_with_output()
            .unwrap()
            .into();
        assert_eq!(run.status, 1, "{name}: {run:?}");
        let result = run.result();
        let kind = result["payload"]["errorType"].as_str().unwrap();
        assert!(
            ["Runtime.OutOfMemory", "Runtime.ExitError"].contains(&kind),
            "{name}: {result}"
        );
        assert!(
            kind == "Runtime.OutOfMemory" || run.stderr.contains("bounded"),
            "{name}: {result}"
        );
    }
}
