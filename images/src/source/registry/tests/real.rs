//! The source against a real registry on this machine.

#[path = "../../../../tests/support/registry.rs"]
mod server;

use std::path::PathBuf;
use std::time::Duration;

use self::server::{Registry as Server, certificate};
use super::{CredentialFiles, Registry, Settings, pull_from, settings};
use crate::writer::{Compression, ImageBuilder, LayerBuilder};
use crate::{ErrorKind, Platform};

/// `user` with the password `pass`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2b$04$jFzOHkQ312/QkI0pDsfRNON69JFsVGcUPGXIhsrMHBrUxmPJkQxem";

fn open(server: &Server, image: &str, credentials: CredentialFiles) -> crate::Result<Registry> {
    let settings = Settings {
        // Real images in several pieces, in a debug build.
        piece: 300_000,
        stall: Duration::from_secs(20),
        certificates: vec![server.path("certs.d")],
        ..settings()
    };
    let name = format!("{}/{image}", server.host());
    Registry::new(&name.parse()?, credentials, settings)
}

fn noise(length: usize) -> Vec<u8> {
    super::Blobs::new(length).layer
}

/// Writes an archive of one layer.
fn archive(server: &Server, compression: Compression) -> PathBuf {
    let path = server.path("image.tar");
    let layer = LayerBuilder::new()
        .file("noise", 0o644, noise(1_000_000))
        .compression(compression);
    ImageBuilder::new(Platform::host())
        .entrypoint(["/x"])
        .layer(layer)
        .write_oci_archive(&path, "latest")
        .unwrap();
    path
}

#[test]
fn what_skopeo_pushes_is_pulled() {
    let server = Server::new("");
    let source = archive(&server, Compression::Gzip);
    server.push(&source, "team/fn:1");
    server.push_with(&source, "team/fn:docker", &["--format", "v2s2"]);
    server.push(&archive(&server, Compression::Zstd), "team/fn:zstd");
    let open = |image| open(&server, image, CredentialFiles::default());
    for image in ["team/fn:1", "team/fn:docker", "team/fn:zstd"] {
        let layer = pull_from(&open(image).unwrap()).unwrap();
        assert!(layer.len() > 1_000_000, "{image}");
    }
    // By digest, which is that of the archive's manifest or another image's.
    let registry = open("team/fn:1").unwrap();
    let root = crate::source::Source::root(&registry, &Platform::host()).unwrap();
    assert_eq!(registry.digest().unwrap(), root.digest);
    let by_digest = format!("team/fn@{}", root.digest);
    pull_from(&open(&by_digest).unwrap()).unwrap();
    for missing in ["team/fn:2", "team/other:1"] {
        let error = pull_from(&open(missing).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("skopeo list-tags"), "{error}");
        let error = open(missing).unwrap().digest().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[test]
fn passwords_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("htpasswd");
    std::fs::write(&users, HTPASSWD).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: test, path: {}}}}}",
        users.display()
    );
    let server = Server::configured(directory, "", &auth);
    let source = archive(&server, Compression::Gzip);
    server.push_with(&source, "fn:1", &["--dest-creds", "user:pass"]);
    let file = server.path("auth.json");
    let pull = |content: &str| {
        let content = content.replace("HOST", &server.host());
        std::fs::write(&file, content).unwrap();
        let files = CredentialFiles(vec![file.clone()]);
        pull_from(&open(&server, "fn:1", files).unwrap())
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
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(directory.path(), 2);
    let tls = format!(
        "  tls: {{certificate: {}, key: {}}}",
        certificate.display(),
        key.display()
    );
    let server = Server::new(&tls);
    let source = archive(&server, Compression::Gzip);
    server.push(&source, "fn:1");

    let open = || open(&server, "fn:1", CredentialFiles::default());
    let error = open()
        .and_then(|registry| pull_from(&registry))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let text = error.to_string();
    assert!(
        text.contains("certificate") && text.contains("ca.crt"),
        "{text}"
    );

    let trusted = server.path("certs.d").join(server.host());
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
    let server = Server::new("");
    let file = archive(&server, Compression::Gzip);
    server.push(&file, "fn:1");
    let store = crate::ContentStore::open(&server.path("store")).unwrap();
    let import = |reference: &str| {
        let reference = reference.parse().unwrap();
        store.import(&reference, &Platform::host(), &crate::NoProgress)
    };
    let expected = import(&format!("oci-archive:{}", file.display())).unwrap();
    let pulled = import(&server.reference("fn:1")).unwrap();
    assert_eq!(pulled, expected);
    // As Lambda takes it: without a transport.
    let bare = |image| format!("{}/{image}", server.host());
    assert_eq!(import(&bare("fn:1")).unwrap(), expected);
    let error = import(&bare("fn:2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
