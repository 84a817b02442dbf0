//! A real registry on this machine, filled by skopeo.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{CredentialFiles, Registry, Settings, pull_from, settings};
use crate::writer::{Compression, ImageBuilder, LayerBuilder};
use crate::{ErrorKind, Platform};

/// `user` with the password `pass`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2b$04$jFzOHkQ312/QkI0pDsfRNON69JFsVGcUPGXIhsrMHBrUxmPJkQxem";

/// Debian's docker-registry, ended when it is dropped.
struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Server {
    /// Starts one with further lines of configuration.
    fn new(http: &str, rest: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // Nobody else of this test binds a port between these two lines.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        std::fs::write(at("htpasswd"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{http}\n{rest}\n",
            data = at("data").display()
        );
        let config = config.replace("DIRECTORY", directory.path().to_str().unwrap());
        std::fs::write(at("config.yml"), config).unwrap();
        let log = File::create(at("log")).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve".as_ref(), at("config.yml").as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("docker-registry is in the list of test dependencies");
        let server = Self {
            child,
            port,
            directory,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(server.path("log")).unwrap();
            assert!(
                Instant::now() < deadline,
                "the registry does not start: {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn name(&self, image: &str) -> String {
        format!("localhost:{}/{image}", self.port)
    }

    /// Pushes an archive or layout, given as skopeo's source.
    fn push(&self, source: &str, image: &str, options: &[&str]) {
        let status = Command::new("skopeo")
            .args([
                "copy",
                "--quiet",
                "--insecure-policy",
                "--dest-tls-verify=false",
            ])
            .args(options)
            .args([source, &format!("docker://{}", self.name(image))])
            .status()
            .expect("skopeo is in the list of test dependencies");
        assert!(status.success());
    }

    fn open(&self, image: &str, credentials: CredentialFiles) -> crate::Result<Registry> {
        let settings = Settings {
            // Real images in several pieces, in a debug build.
            piece: 300_000,
            stall: Duration::from_secs(20),
            certificates: vec![self.path("certs.d")],
            ..settings()
        };
        Registry::new(&self.name(image).parse()?, credentials, settings)
    }
}

fn noise(length: usize) -> Vec<u8> {
    super::Blobs::new(length).layer
}

/// Writes an archive of one layer and returns skopeo's name for it.
fn archive(path: &Path, compression: Compression) -> String {
    let layer = LayerBuilder::new()
        .file("noise", 0o644, noise(1_000_000))
        .compression(compression);
    ImageBuilder::new(Platform::host())
        .entrypoint(["/x"])
        .layer(layer)
        .write_oci_archive(path, "latest")
        .unwrap();
    format!("oci-archive:{}", path.display())
}

#[test]
fn what_skopeo_pushes_is_pulled() {
    let server = Server::new("", "");
    let file = server.path("image.tar");
    let source = archive(&file, Compression::Gzip);
    server.push(&source, "team/fn:1", &[]);
    server.push(&source, "team/fn:docker", &["--format", "v2s2"]);
    server.push(&archive(&file, Compression::Zstd), "team/fn:zstd", &[]);
    let open = |image| server.open(image, CredentialFiles::default());
    for image in ["team/fn:1", "team/fn:docker", "team/fn:zstd"] {
        let layer = pull_from(&open(image).unwrap()).unwrap();
        assert!(layer.len() > 1_000_000, "{image}");
    }
    // By digest, which is that of the archive's manifest or another image's.
    let registry = open("team/fn:1").unwrap();
    let root = crate::source::Source::root(&registry, &Platform::host()).unwrap();
    let by_digest = format!("team/fn@{}", root.digest);
    pull_from(&open(&by_digest).unwrap()).unwrap();
    for missing in ["team/fn:2", "team/other:1"] {
        let error = pull_from(&open(missing).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("skopeo list-tags"), "{error}");
    }
}

#[test]
fn passwords_from_a_file() {
    let server = Server::new(
        "",
        "auth: {htpasswd: {realm: test, path: DIRECTORY/htpasswd}}",
    );
    let source = archive(&server.path("image.tar"), Compression::Gzip);
    server.push(&source, "fn:1", &["--dest-creds", "user:pass"]);
    let file = server.path("auth.json");
    let pull = |content: &str| {
        let content = content.replace("HOST", &format!("localhost:{}", server.port));
        std::fs::write(&file, content).unwrap();
        pull_from(
            &server
                .open("fn:1", CredentialFiles(vec![file.clone()]))
                .unwrap(),
        )
    };
    // What `podman login` writes.
    pull(r#"{"auths":{"HOST":{"auth":"dXNlcjpwYXNz"}}}"#).unwrap();
    pull(r#"{"auths":{"HOST/fn":{"auth":"dXNlcjpwYXNz"},"HOST":{"auth":"YTpi"}}}"#).unwrap();
    for wrong in [
        "{}",
        r#"{"auths":{"HOST":{"auth":"dXNlcjp3cm9uZw=="}}}"#,
        r#"{"auths":{"HOST/other":{"auth":"dXNlcjpwYXNz"}}}"#,
    ] {
        let error = pull(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
}

#[test]
fn tls_with_a_certificate_that_is_trusted_for_this_host_only() {
    let tls = "  tls: {certificate: DIRECTORY/tls.crt, key: DIRECTORY/tls.key}";
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        directory.path().join("tls.crt"),
        directory.path().join("tls.key"),
    );
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status()
        .expect("openssl is in the list of test dependencies");
    assert!(made.success());
    let tls = tls.replace("DIRECTORY", directory.path().to_str().unwrap());
    let server = Server::new(&tls, "");
    let source = archive(&server.path("image.tar"), Compression::Gzip);
    server.push(&source, "fn:1", &[]);

    let open = || server.open("fn:1", CredentialFiles::default());
    let error = open()
        .and_then(|registry| pull_from(&registry))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let text = error.to_string();
    assert!(
        text.contains("certificate") && text.contains("ca.crt"),
        "{text}"
    );

    let trusted = server
        .path("certs.d")
        .join(format!("localhost:{}", server.port));
    std::fs::create_dir_all(&trusted).unwrap();
    std::fs::copy(&certificate, trusted.join("ca.crt")).unwrap();
    pull_from(&open().unwrap()).unwrap();
    std::fs::write(trusted.join("ca.crt"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let error = open().map(drop).unwrap_err();
    assert!(error.to_string().contains("ca.crt"), "{error}");
}

#[test]
fn the_whole_way_into_a_store() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped the_whole_way_into_a_store: unpacking needs root");
        return;
    }
    let server = Server::new("", "");
    let file = server.path("image.tar");
    server.push(&archive(&file, Compression::Gzip), "fn:1", &[]);
    let store = crate::ContentStore::open(&server.path("store")).unwrap();
    let import = |reference: &str| {
        let reference = reference.parse().unwrap();
        store.import(&reference, &Platform::host(), &crate::NoProgress)
    };
    let expected = import(&format!("oci-archive:{}", file.display())).unwrap();
    let pulled = import(&format!("docker://{}", server.name("fn:1"))).unwrap();
    assert_eq!(pulled, expected);
    // As Lambda takes it: without a transport.
    assert_eq!(import(&server.name("fn:1")).unwrap(), expected);
    let error = import(&server.name("fn:2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
