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

use lambent_images::writer::{ImageBuilder, LayerBuilder};
use lambent_images::{
    ContentStore, Digest, ErrorKind, Form, ImageReference, Interrupt, Layer, LayerProgress,
    NoProgress, Platform, Progress,
};
use server::{Registry, certificate};
use support::{Scratch, import_path_into, large, noise};

const STORE: &str = "LAMBENT_TEST_CHILD_STORE";
const REFERENCE: &str = "LAMBENT_TEST_CHILD_REFERENCE";
const EVENTS: &str = "LAMBENT_TEST_CHILD_EVENTS";
const FORM: &str = "LAMBENT_TEST_CHILD_FORM";

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
        .with_form(std::env::var(FORM).unwrap().parse().unwrap())
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
        .env(FORM, scratch.store.form().to_string())
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

/// An image whose only layer has this many MiB that do not compress.
fn heavy(scratch: &Scratch, mib: usize) -> std::path::PathBuf {
    let layer = LayerBuilder::new().file("noise", 0o644, noise(1, mib << 20));
    let file = scratch.path("image.tar");
    ImageBuilder::new(Platform::host())
        .layer(layer)
        .write_oci_archive(&file, "latest")
        .unwrap();
    file
}

/// Bytes of a blob that the registry has sent, by the lines of its log behind `from`.
fn sent(registry: &Registry, blob: &Digest, from: usize) -> u64 {
    let log = registry.log();
    let lines = log[from..].lines();
    // ... "GET /v2/fn/blobs/sha256:... HTTP/1.1" 206 8388608 ...
    lines
        .filter(|line| line.contains(&format!("\"GET /v2/fn/blobs/{blob} ")))
        .filter_map(|line| line.split("\" 206 ").nth(1)?.split(' ').next())
        .map(|bytes| bytes.parse::<u64>().unwrap())
        .sum()
}

fn partials(store: &Path) -> Vec<(std::path::PathBuf, u64)> {
    std::fs::read_dir(store.join("partial"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let length = path.metadata().unwrap().len();
            (path, length)
        })
        .collect()
}

#[test]
fn a_killed_pull_is_continued() {
    let registry = Registry::new("");
    let scratch = Scratch::of_form(Form::Erofs);
    registry.push(&heavy(&scratch, 24), "fn:1");
    let reference = registry.reference("fn:1");
    // The beginning of the layer, and then every 4 MiB.
    let killed = pull(&scratch, &reference).env(EVENTS, "4").output();
    let killed = killed.unwrap();
    assert_eq!(killed.status.signal(), Some(9), "{}", said(&killed));
    let left = partials(scratch.store.root());
    let [(_, known)] = left[..] else {
        panic!("{left:?}")
    };
    assert!(known >= 12 << 20, "{known}");
    let before = registry.log().len();
    let output = pull(&scratch, &reference).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let layer = only_layer(&scratch);
    assert_eq!(known + sent(&registry, &layer.digest, before), layer.size);
    assert_eq!(partials(scratch.store.root()), []);
    let found = scratch.store.verify(&[], &NoProgress).unwrap();
    assert_eq!((found.layers, found.findings), (1, vec![]));
}

/// The only layer of the only image.
fn only_layer(scratch: &Scratch) -> Layer {
    let [image] = scratch.store.images().unwrap()[..] else {
        panic!("not one image")
    };
    let image = scratch.store.find(&image.hex()).unwrap().unwrap();
    image.layers[0].clone()
}

#[test]
fn a_beginning_helps_if_it_is_the_right_one() {
    let registry = Registry::new("");
    let scratch = Scratch::of_form(Form::Erofs);
    let file = heavy(&scratch, 12);
    registry.push(&file, "fn:1");
    let reference = registry.reference("fn:1");
    // What the registry has, not what skopeo was given.
    let output = pull(&scratch, &reference).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let digest = only_layer(&scratch).digest;
    let hex = digest.hex();
    let stored = registry.path("data/docker/registry/v2/blobs/sha256");
    let blob = std::fs::read(stored.join(&hex[..2]).join(&hex).join("data")).unwrap();
    let size = blob.len() as u64;
    let half = blob[..blob.len() / 2].to_vec();
    let flipped = |at: usize| {
        let mut bytes = half.clone();
        bytes[at] ^= 1;
        bytes
    };
    let too_long = [&blob[..], b"x"].concat();
    for (what, beginning, expected) in [
        ("half", half.clone(), size - half.len() as u64),
        ("all", blob.clone(), 0),
        ("nothing", Vec::new(), size),
        ("more than all", too_long, size),
        // The half that is missing, and then everything.
        (
            "another one",
            flipped(half.len() - 1),
            2 * size - half.len() as u64,
        ),
        ("no archive", flipped(0), 2 * size - half.len() as u64),
    ] {
        for form in [Form::Erofs, Form::Directory] {
            if form == Form::Directory && !support::is_root("a_beginning_helps") {
                continue;
            }
            let scratch = Scratch::of_form(form);
            let root = scratch.store.root();
            std::fs::write(root.join("partial").join(&hex), &beginning).unwrap();
            let before = registry.log().len();
            let output = pull(&scratch, &reference)
                .env(FORM, form.to_string())
                .output();
            let output = output.unwrap();
            assert!(output.status.success(), "{what}, {form}: {}", said(&output));
            assert_eq!(sent(&registry, &digest, before), expected, "{what}, {form}");
            assert_eq!(partials(root), [], "{what}, {form}");
            let found = scratch.store.verify(&[], &NoProgress).unwrap();
            assert_eq!(
                (found.layers, found.findings),
                (1, vec![]),
                "{what}, {form}"
            );
        }
    }
}

/// Ends something when so many bytes of a layer have come.
struct At<F>(u64, F);

impl<F: Fn() + Sync> Progress for At<F> {
    fn layer(&self, _: &Digest, state: LayerProgress) {
        if let LayerProgress::Advanced { read } = state
            && read >= self.0
        {
            (self.1)();
        }
    }
}

#[test]
fn a_lost_connection_leaves_what_came_and_prune_removes_it() {
    let registry = Mutex::new(Some(Registry::new("")));
    let scratch = Scratch::of_form(Form::Erofs);
    let reference = {
        let registry = registry.lock().unwrap();
        let registry = registry.as_ref().unwrap();
        registry.push(&heavy(&scratch, 64), "fn:1");
        registry.reference("fn:1").parse().unwrap()
    };
    let lost = At(8 << 20, || drop(registry.lock().unwrap().take()));
    let error = scratch
        .store
        .import(&reference, &Platform::host(), &lost)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let left = partials(scratch.store.root());
    let [(_, known)] = left[..] else {
        panic!("{left:?}")
    };
    assert!((8 << 20..64 << 20).contains(&known), "{known}");
    let removal = scratch.store.prune(false, &NoProgress).unwrap();
    assert_eq!(removal.bytes_freed, known);
    assert_eq!(partials(scratch.store.root()), []);
}

struct Interrupted(Interrupt);

impl Progress for Interrupted {
    fn layer(&self, _: &Digest, state: LayerProgress) {
        if matches!(state, LayerProgress::Advanced { .. }) {
            self.0.raise();
        }
    }

    fn interrupt(&self) -> Interrupt {
        self.0.clone()
    }
}

#[test]
fn a_pull_that_is_called_off_leaves_nothing() {
    let registry = Registry::new("");
    let scratch = Scratch::of_form(Form::Erofs);
    registry.push(&heavy(&scratch, 12), "fn:1");
    let reference = registry.reference("fn:1").parse().unwrap();
    let before = scratch.content();
    let interrupted = Interrupted(Interrupt::default());
    let error = scratch
        .store
        .import(&reference, &Platform::host(), &interrupted)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert_eq!(scratch.content(), before);
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
