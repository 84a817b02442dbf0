//! Pulls from a real registry by several processes, and what surrounds them.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

#[path = "support/registry.rs"]
mod server;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use lambent_images::{
    ContentStore, Digest, Form, ImageReference, LayerProgress, NoProgress, Platform, Progress,
};
use server::{Registry, certificate};
use support::{Scratch, import_path_into, large};

const STORE: &str = "LAMBENT_TEST_CHILD_STORE";
const REFERENCE: &str = "LAMBENT_TEST_CHILD_REFERENCE";
const EVENTS: &str = "LAMBENT_TEST_CHILD_EVENTS";

/// Kills its own process, as `kill -9` does, after so many events.
struct KillAfter(AtomicU32);

impl Progress for KillAfter {
    fn layer(&self, _: &Digest, _: LayerProgress) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
    }
}

/// Not a test by itself: what the children of the tests below run.
#[test]
fn child() {
    let Some(store) = std::env::var_os(STORE) else {
        return;
    };
    let reference: ImageReference = std::env::var(REFERENCE).unwrap().parse().unwrap();
    let events = std::env::var(EVENTS).unwrap().parse().unwrap();
    let store = ContentStore::open(Path::new(&store)).unwrap();
    let progress = KillAfter(AtomicU32::new(events));
    let result = store
        .with_form(Form::Erofs)
        .import(&reference, &Platform::host(), &progress);
    if let Err(error) = result {
        std::io::stderr()
            .write_all(error.to_string().as_bytes())
            .unwrap();
        panic!("{error}");
    }
}

/// A process that pulls, without this process's proxies.
fn pull(scratch: &Scratch, reference: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(STORE, scratch.store.root())
        .env(REFERENCE, reference)
        .env(EVENTS, u32::MAX.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The image is whole, and nothing is left of those who failed.
fn require_sound(scratch: &Scratch) {
    let verification = scratch.store.verify(&[], &NoProgress).unwrap();
    assert!(verification.findings.is_empty(), "{verification:?}");
    assert_eq!(verification.layers, 3);
    ContentStore::open(scratch.store.root()).unwrap();
    let tmp = scratch.store.root().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
}

/// I-R05.
#[test]
fn eight_processes_pull_one_image_and_one_is_killed() {
    let registry = Registry::new("");
    let scratch = Scratch::of_form(Form::Erofs);
    let file = scratch.path("image.tar");
    large(1).write_oci_archive(&file, "latest").unwrap();
    registry.push(&file, "fn:1");
    let reference = registry.reference("fn:1");
    let mut children: Vec<Child> = (0..8)
        .map(|number| {
            let mut pull = pull(&scratch, &reference);
            if number == 0 {
                pull.env(EVENTS, "3");
            }
            pull.spawn().unwrap()
        })
        .collect();
    let killed = children.remove(0).wait_with_output().unwrap();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    // Unless the others were so fast that it had nothing to pull.
    let signal = killed.status.signal();
    assert!(
        signal == Some(9) || killed.status.success(),
        "{}",
        said(&killed)
    );
    require_sound(&scratch);
    let other = ContentStore::open(&scratch.path("other")).unwrap();
    let expected = import_path_into(&other.with_form(Form::Erofs), &file).unwrap();
    assert_eq!(scratch.store.images().unwrap(), [expected.manifest_digest]);
    // One of them downloads a layer, and another one what the killed one had begun.
    let log = registry.log();
    for layer in &expected.layers {
        let blob = format!("GET /v2/fn/blobs/{}", layer.digest);
        let times = log.lines().filter(|line| line.contains(&blob)).count();
        assert!((1..=2).contains(&times), "{times} times {blob}");
    }
}

#[test]
fn after_a_killed_pull_the_next_one_works() {
    let registry = Registry::new("");
    let source = Scratch::of_form(Form::Erofs);
    let file = source.path("image.tar");
    large(1).write_oci_archive(&file, "latest").unwrap();
    registry.push(&file, "fn:1");
    let reference = registry.reference("fn:1");
    for events in [1, 2, 4, 6] {
        let scratch = Scratch::of_form(Form::Erofs);
        let killed = pull(&scratch, &reference)
            .env(EVENTS, events.to_string())
            .output()
            .unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{}", said(&killed));
        assert!(scratch.store.images().unwrap().is_empty());
        let output = pull(&scratch, &reference).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        require_sound(&scratch);
    }
}

/// A proxy that refuses, and the first lines of what it was asked.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            seen.lock().unwrap().push(line.trim_end().to_owned());
            let _gone = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (address, asked)
}

/// I-R06: as for curl and Docker, but never for what is on this machine.
#[test]
fn proxies_are_asked_for_what_is_elsewhere() {
    let (address, asked) = proxy();
    let elsewhere = "docker://registry.invalid/fn:1";
    let ask = |variables: &[(&str, &str)], reference: &str| {
        let scratch = Scratch::of_form(Form::Erofs);
        let mut pull = pull(&scratch, reference);
        let output = pull.envs(variables.iter().copied()).output().unwrap();
        (output, std::mem::take(&mut *asked.lock().unwrap()))
    };
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let (output, lines) = ask(&[(variable, &address)], elsewhere);
        assert!(!output.status.success() && !lines.is_empty(), "{variable}");
        for line in lines {
            assert_eq!(line, "CONNECT registry.invalid:443 HTTP/1.1", "{variable}");
        }
        assert!(
            said(&output).contains("registry.invalid"),
            "{}",
            said(&output)
        );
    }
    // Never without TLS, which HTTP_PROXY is for.
    for variables in [
        &[("HTTP_PROXY", &address[..])][..],
        &[("HTTPS_PROXY", &address), ("NO_PROXY", "registry.invalid")],
        &[("HTTPS_PROXY", &address), ("NO_PROXY", "*")],
    ] {
        let (output, lines) = ask(variables, elsewhere);
        assert!(!output.status.success() && lines.is_empty(), "{lines:?}");
    }
    let registry = Registry::new("");
    let scratch = Scratch::of_form(Form::Erofs);
    let file = scratch.path("image.tar");
    large(1).write_oci_archive(&file, "latest").unwrap();
    registry.push(&file, "fn:1");
    let all = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"];
    let variables = all.map(|name| (name, &address[..]));
    let (output, lines) = ask(&variables, &registry.reference("fn:1"));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(lines, Vec::<String>::new());
}

/// I-R06: no way around TLS, and an error that says what is wrong.
#[test]
fn an_expired_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(directory.path(), 0);
    // It was valid for the second in which it was made.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let registry = Registry::new(&format!(
        "  tls: {{certificate: {}, key: {}}}",
        certificate.display(),
        key.display()
    ));
    let scratch = Scratch::of_form(Form::Erofs);
    let output = pull(&scratch, &registry.reference("fn:1"))
        .env("SSL_CERT_FILE", &certificate)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = said(&output);
    assert!(said.contains("expired") && said.contains("clock"), "{said}");
    let log = registry.log();
    assert!(!log.contains("GET /v2/fn/"), "{log}");
}
