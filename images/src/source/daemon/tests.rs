//! The real thing, and sockets behind which something else is.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;
use crate::source::resolve;
use crate::writer::{ImageBuilder, LayerBuilder};
use crate::{Digest, Platform};

/// Podman's service with storage of its own, ended when it is dropped.
struct Podman {
    directory: tempfile::TempDir,
    service: Option<Child>,
}

impl Podman {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut podman = Self {
            directory,
            service: None,
        };
        let address = format!("unix://{}", podman.socket().display());
        let service = podman
            .command()
            .args(["system", "service", "--time", "0", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("podman is in the list of test dependencies");
        podman.service = Some(service);
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(podman.socket()).is_err() {
            assert!(Instant::now() < deadline, "podman does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        podman
    }

    fn command(&self) -> Command {
        let at = |name: &str| self.directory.path().join(name);
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("run"))
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .env("TMPDIR", self.directory.path());
        command
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("podman.sock")
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }
}

#[test]
fn images_of_podman() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped images_of_podman: a store of its own needs root");
        return;
    }
    let podman = Podman::new();
    let file = podman.directory.path().join("image.tar");
    let layer = LayerBuilder::new().file("x", 0o755, vec![7; 300_000]);
    let config = ImageBuilder::new(Platform::host())
        .layer(layer)
        .write_docker_archive(&file, "localhost/fn:latest")
        .unwrap();
    let loaded = podman
        .command()
        .args(["load", "-q", "-i"])
        .arg(&file)
        .output();
    let loaded = loaded.unwrap();
    assert!(loaded.status.success(), "{loaded:?}");

    let absent = podman.directory.path().join("absent.sock");
    let sockets = [absent.clone(), podman.socket()];
    let id = config.to_string();
    for name in [
        "fn",
        "fn:latest",
        "localhost/fn",
        "localhost/fn:latest",
        &id,
    ] {
        let source = from_sockets(name, &sockets).unwrap();
        let resolved = resolve(source.as_ref(), &Platform::host()).unwrap();
        let mut bytes = Vec::new();
        let layer = &resolved.manifest.layers[0];
        let mut reader = source.open(layer).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(Digest::of(&bytes), layer.digest, "{name}");
        // Docker's has the algorithm before it.
        let told = ask(name, &sockets, image_id).unwrap();
        assert_eq!(told.trim_start_matches("sha256:"), config.hex(), "{name}");
    }
    let error = ask("other", &sockets[1..], image_id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let error = from_sockets("other", &sockets[1..]).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("podman.sock"), "{error}");
    let error = from_sockets("fn", &[absent]).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[test]
fn names_to_ask_for() {
    for (name, expected) in [
        ("fn", &["fn:latest", "localhost/fn:latest"][..]),
        ("fn:1", &["fn:1", "localhost/fn:1"]),
        ("me/fn:1", &["me/fn:1", "localhost/me/fn:1"]),
        ("h.io/fn", &["h.io/fn:latest"]),
        ("sha256:1234", &["sha256:1234"]),
    ] {
        assert_eq!(candidates(name), expected);
    }
}

#[test]
fn what_is_no_daemon() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    for answer in [
        &b"garbage\r\n\r\n"[..],
        b"HTTP/1.1 500 X\r\nContent-Length: 18\r\n\r\n{\"message\":\"\\u001b\"}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let path = directory.path().join("daemon.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 1024];
                let _length = stream.read(&mut request);
                let _gone = stream.write_all(answer);
            }
        });
        let error = from_sockets("h.io/fn", std::slice::from_ref(&path));
        let error = error.map(drop).unwrap_err();
        let kinds = [ErrorKind::Unreachable, ErrorKind::NotAnImage];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
        let error = ask("h.io/fn", std::slice::from_ref(&path), image_id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}
