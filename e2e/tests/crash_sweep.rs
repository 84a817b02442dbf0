//! SIGKILL at every step of starting and ending an environment: strace kills
//! whichever process (the command, the launcher, a worker, the container's init,
//! the runtime) makes the N-th call of a kind.
//!
//! The usual run takes the first, 4th, 16th step and so on; with `LAMBENT_TEST_FULL` every one is taken.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, Run, privileged, program, wait};
use serde_json::json;

/// The calls that make and unmake things, and those that tell others of it.
const CALLS: &[&str] = &[
    // Processes.
    "clone,clone3,fork,vfork",
    "execve",
    "wait4,waitid",
    "prctl",
    "setsid",
    "pidfd_open",
    "pidfd_send_signal",
    // Namespaces and mounts.
    "unshare",
    "setns",
    "mount,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr",
    "umount2",
    "pivot_root",
    "sethostname",
    // Files, cgroups among them.
    "mkdir,mkdirat",
    "rmdir,unlink,unlinkat",
    "symlink,symlinkat",
    "openat,openat2",
    "write,pwrite64",
    "ioctl",
    "flock",
    "fchmodat,fchmod,chmod",
    "chdir,fchdir",
    // Messages.
    "socketpair",
    "socket",
    "bind",
    "listen",
    "sendmsg,sendto",
    "recvmsg,recvfrom",
    "accept4",
    "close_range",
    "memfd_create",
    "setresuid,setresgid,setuid,setgid,setgroups",
    "capset",
    "seccomp",
    "exit_group",
];

/// Runs an invocation in which each process dies at its `number`-th call.
fn killed_at(lambent: &Lambent, calls: &str, number: u32) -> Output {
    Command::new("strace")
        .args(["--follow-forks", "--quiet=all", "--output=/dev/null"])
        .arg(format!("--trace={calls}"))
        .arg(format!("--inject={calls}:signal=SIGKILL:when={number}"))
        .arg(program())
        .args(["invoke", &Fixture::RustOciArchive.reference()])
        .args(["--output", "json", "--timeout", "20"])
        .args(["--payload", &json!({"action": "counter"}).to_string()])
        .env("LAMBENT_ROOT", lambent.root())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn privileged_a_kill_at_any_step_leaves_nothing() {
    if !privileged() {
        return;
    }
    let full = std::env::var_os("LAMBENT_TEST_FULL").is_some();
    let lambent = Lambent::new();
    let invoke = || {
        let image = Fixture::RustOciArchive.reference();
        lambent.invoke(&image, &json!({"action": "counter"}), &[])
    };
    // The import is another sweep's.
    assert_eq!(invoke().payload()["count"], 1);
    let (mut rounds, mut survived) = (0, 0);
    for calls in CALLS {
        let mut number = 1;
        loop {
            let run = Run::from(killed_at(&lambent, calls, number));
            if run.status == 0 {
                // Nobody makes so many of them (or only who is not missed).
                assert_eq!(run.payload()["count"], 1, "{calls} {number}");
                survived += 1;
                break;
            }
            rounds += 1;
            let services = leftovers::services(lambent.root());
            let what = format!("the processes are gone after a kill at {calls} {number}");
            wait::until(&what, || {
                Leftovers::of(lambent.root(), &services)
                    .processes
                    .is_empty()
            });
            // Cgroups may remain if everybody who could remove them was killed; the
            // next start does it.
            let next = invoke();
            assert_eq!(next.status, 0, "after {calls} {number}: {next:?}");
            assert_eq!(next.payload()["count"], 1, "after {calls} {number}");
            let left = Leftovers::of(lambent.root(), &services);
            assert!(left.is_empty(), "after {calls} {number}: {left:?}");
            number = if full { number + 1 } else { number * 4 };
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "{rounds} kills; {survived} kinds of calls came to their end"
    );
    assert!(rounds >= CALLS.len(), "strace killed only {rounds} times");
    assert_eq!(leftovers::services(lambent.root()), Vec::<String>::new());
}
