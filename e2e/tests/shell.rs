//! `lambent invoke --shell`: a person, or a script, in the environment.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::ordinary::{self, Ids};
use lambent_e2e::terminal::Terminal;
use lambent_e2e::{Lambent, Run, privileged, wait};
use rustix::process::Signal;

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

fn start(lambent: &Lambent, fixture: Fixture, arguments: &[&str]) -> Child {
    lambent
        .command(["invoke", &lambent.reference(fixture), "--shell"])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs lines in the shell of the Python image.
fn piped(lambent: &Lambent, lines: &str, arguments: &[&str]) -> Run {
    let mut child = start(lambent, Fixture::PythonOciArchive, arguments);
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap().into()
}

#[track_caller]
fn assert_nothing_left(lambent: &Lambent) {
    let state = lambent.state();
    let left = Leftovers::of(&state, &leftovers::services(&state));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_a_shell_has_a_terminal() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::PythonOciArchive.reference();
    let mut command = lambent.command(["invoke", &image, "--shell"]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(&command, (33, 99));
    // What is typed is shown too, so that what is waited for is never typed.
    terminal.shows("the function's entry point is: ");
    terminal.press("echo $((40+2)) uid=$(id -u) $TERM; stty size; pwd\n");
    terminal.shows("42 uid=993 dumb");
    terminal.shows("33 99");
    terminal.shows("/var/task");
    terminal.resize((44, 88));
    terminal.press("stty size\n");
    terminal.shows("44 88");
    // The key is a signal to what runs in the shell, and to nobody else.
    terminal.press("sleep 1000 || echo ended $((70+7))\n");
    wait::until("it sleeps", || {
        let services = leftovers::services(lambent.root());
        let left = Leftovers::of(lambent.root(), &services);
        left.processes
            .iter()
            .any(|process| process.ends_with(" sleep"))
    });
    terminal.press(CTRL_C);
    terminal.press("echo alive $((70+8))\n");
    terminal.shows("alive 78");
    assert!(!terminal.is_cooked());
    terminal.press("(exit 7)\n");
    terminal.press(CTRL_D);
    assert_eq!(terminal.ends().code(), Some(7), "{}", terminal.screen());
    assert!(terminal.is_cooked(), "{}", terminal.screen());
    assert_nothing_left(&lambent);
}

#[test]
fn privileged_a_shell_takes_a_pipe() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let lines = "echo $(id -u):$(id -g) $GREETING $AWS_LAMBDA_RUNTIME_API\n\
                 touch /root-is-writable\n\
                 touch /tmp/is-writable && ls /tmp\n\
                 grep -o 'CapEff.*' /proc/self/status 2>/dev/null || sed -n /CapEff/p /proc/self/status\n\
                 sed -n 's/^Seccomp:\\t//p' /proc/self/status\n\
                 ulimit -n\n\
                 exit 3\n";
    let run = piped(&lambent, lines, &["--env", "GREETING=hello"]);
    assert_eq!(run.status, 3, "{run:?}");
    assert_eq!(
        run.stdout,
        "993:990 hello 127.0.0.1:9001\nis-writable\nCapEff:\t0000000000000000\n2\n1024\n",
        "{run:?}"
    );
    assert!(run.stderr.contains("Read-only file system"), "{run:?}");
    // The end of the lines ends it, a signal is told as shells tell it, and memory and
    // time are the function's.
    let run = piped(&lambent, "false\n", &[]);
    assert_eq!(run.status, 1, "{run:?}");
    let run = piped(&lambent, "kill -9 $$\n", &[]);
    assert_eq!(run.status, 137, "{run:?}");
    assert!(
        run.stderr.contains("\" was ended by a signal: killed"),
        "{run:?}"
    );
    let run = piped(
        &lambent,
        "python3 -c 'bytearray(200 << 20)'; echo $?\nsleep 4\n",
        &["--timeout", "1", "--memory", "128"],
    );
    assert_eq!((run.status, run.stdout.as_str()), (0, "137\n"), "{run:?}");
    assert_nothing_left(&lambent);
}

/// The entry point, started by hand, gets the event; and again when it is started
/// again.
#[test]
fn privileged_an_entry_point_is_tried_by_hand() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let event = r#"{"action": "echo", "word": "xyzzy"}"#;
    let arguments = ["--payload", event, "--memory", "1769"];
    let mut child = start(&lambent, Fixture::PythonOciArchive, &arguments);
    let mut keys = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for _ in 0..2 {
        writeln!(keys, "python3 -m awslambdaric app.handler &").unwrap();
        let mut seen = vec![];
        loop {
            let line = lines.next().expect("the shell lives").unwrap();
            seen.push(line);
            if seen.iter().any(|line| line.contains("does not come")) {
                break;
            }
        }
        let response = |line: &String| line.contains("response: ") && line.contains("xyzzy");
        assert!(seen.iter().any(response), "{seen:?}");
        writeln!(keys, "kill $! && wait").unwrap();
    }
    writeln!(keys, "exit 5").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_nothing_left(&lambent);
}

/// Python's client waits for events in C, where no signal of Python's gets through: the
/// key ends it all the same, and leaves what runs in the background.
#[test]
fn privileged_ctrl_c_ends_a_client_that_waits() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::PythonOciArchive.reference();
    let mut command = lambent.command(["invoke", &image, "--shell", "--memory", "1769"]);
    command.args(["--payload", r#"{"action": "echo", "word": "xyzzy"}"#]);
    let mut terminal = Terminal::start(&command, (33, 99));
    terminal.shows("the function's entry point is: ");
    for number in 1..=2 {
        terminal.press("python3 -m awslambdaric app.handler; echo back $((40+2))\n");
        let waits = || terminal.screen().matches("does not come").count() == number;
        wait::until("it waits", waits);
        terminal.press(CTRL_C);
        // The shell drops the rest of the line, or not.
        terminal.press(&format!("echo prompt $((76+{number}))\n"));
        terminal.shows(&format!("prompt {}", 76 + number));
    }
    let responses = terminal.screen().matches("response: ").count();
    assert_eq!(responses, 2, "{}", terminal.screen());
    // At the prompt it is the shell's own: what waits in the background goes on.
    terminal.press("python3 -m awslambdaric app.handler &\n");
    wait::until("it waits", || {
        terminal.screen().matches("does not come").count() == 3
    });
    terminal.press(CTRL_C);
    // What is typed sooner is dropped.
    wait::until("a new prompt", || terminal.screen().ends_with("^C\r\n$ "));
    terminal.press("kill -0 $! && echo alive $((70+8))\n");
    terminal.shows("alive 78");
    terminal.press("kill -9 $!; exit 4\n");
    assert_eq!(terminal.ends().code(), Some(4), "{}", terminal.screen());
    assert_nothing_left(&lambent);
}

#[test]
fn privileged_ending_the_command_ends_the_shell() {
    if !privileged() {
        return;
    }
    // The second is ctrl-\ of a terminal whose input is a pipe.
    for signal in [Signal::TERM, Signal::QUIT] {
        let lambent = Lambent::new();
        let mut child = start(&lambent, Fixture::PythonOciArchive, &[]);
        let mut keys = child.stdin.take().unwrap();
        writeln!(
            keys,
            "trap '' HUP TERM INT QUIT; echo up; sleep 1000 & sleep 1000"
        )
        .unwrap();
        let mut up = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut up).unwrap();
        assert_eq!(up, "up\n");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}");
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_without_a_shell_the_error_says_what_helps() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let run: Run = start(&lambent, Fixture::RustOciArchive, &[])
        .wait_with_output()
        .unwrap()
        .into();
    assert_eq!(run.status, 3, "{run:?}");
    for part in ["has no shell", "/bin/sh", "--host-shell /bin/busybox"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    let image = Fixture::RustOciArchive.reference();
    let run = lambent.run(["invoke", &image, "--shell=/bin/sh"]);
    assert_eq!(run.status, 3, "{run:?}");
    for part in ["\"/bin/sh\" cannot be run", "--host-shell"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    let image = Fixture::PythonOciArchive.reference();
    let run = lambent.run(["invoke", &image, "--shell=/nowhere/sh"]);
    assert_eq!(run.status, 3, "{run:?}");
    for part in [
        "/nowhere/sh: no such file",
        &image,
        "the image has /bin/sh",
        "--shell alone",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    let run = lambent.run(["invoke", &image, "--shell", "--workdir", "/nowhere"]);
    assert_eq!(run.status, 3, "{run:?}");
    assert!(
        run.stderr.contains("--workdir /") && !run.stderr.contains("--shell alone"),
        "{run:?}"
    );
    // Any program will do.
    let run = lambent.run(["invoke", &image, r#"--shell=["/usr/bin/id", "-u"]"#]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "993\n"), "{run:?}");
    // What needs more than itself is refused before anything runs.
    let script = lambent.root().join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    for (program, part) in [
        ("/bin/bash", "it needs /lib"),
        (script.to_str().unwrap(), "a script for /bin/sh"),
        ("/nowhere", "No such file"),
    ] {
        let run = lambent.run(["invoke", &image, "--host-shell", program]);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
        assert!(run.stderr.contains("busybox-static"), "{run:?}");
    }
    for (arguments, part) in [
        (["--event", "-"], "standard input is the shell's"),
        (["--output", "json"], "--output"),
        (["--debug-port", "1234"], "--debug-port"),
    ] {
        let command = ["invoke", &image, "--shell"].into_iter();
        let run = lambent.run(command.chain(arguments));
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
    }
    assert_nothing_left(&lambent);
}

/// An image without any file but the function's, and with a shell that Lambda has not.
#[test]
fn privileged_a_shell_of_this_machine_is_lent() {
    if !privileged() {
        return;
    }
    let lines = "id -u; ls /dev/lambent; cat /proc/self/status | grep CapEff; ls /bin\n\
                 echo x > /dev/lambent/sh\nexit 6\n";
    // In a virtual machine it is where the machine starts from.
    let busybox = ["/bin/busybox", "/vm/busybox"];
    let busybox = busybox.into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox-static (`make deps`)");
    let users = [Ids::Subordinate, Ids::Single].map(Lambent::of_ordinary_user);
    for lambent in std::iter::once(Lambent::new()).chain(users) {
        let image = lambent.reference(Fixture::RustOciArchive);
        let mut child = lambent
            .command(["invoke", &image, "--host-shell", busybox])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended already.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        let run: Run = child.wait_with_output().unwrap().into();
        assert_eq!(run.status, 6, "{run:?}");
        assert_eq!(
            run.stdout, "993\nsh\nCapEff:\t0000000000000000\n",
            "{run:?}"
        );
        for part in ["Lambda has nothing there", "can't create /dev/lambent/sh"] {
            assert!(run.stderr.contains(part), "{part}: {run:?}");
        }
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_an_ordinary_user_gets_a_shell() {
    if !privileged() {
        return;
    }
    for ids in [Ids::Subordinate, Ids::Single] {
        let lambent = Lambent::of_ordinary_user(ids);
        let run = piped(&lambent, "id -u\nexit 9\n", &[]);
        assert_eq!((run.status, run.stdout.as_str()), (9, "993\n"), "{run:?}");
        wait::until("nothing of the user runs", || {
            ordinary::processes().is_empty()
        });
        assert_nothing_left(&lambent);
    }
}
