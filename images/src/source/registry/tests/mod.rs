//! The registry client against servers that keep to the protocol, and others.

mod access;
mod flaky;
mod real;
mod server;

use std::io::Read;
use std::time::Duration;

use self::server::{Blobs, Server};
use super::credentials::CredentialFiles;
use super::{Registry, Settings};
use crate::error::{Error, IoContext, Result};
use crate::manifest::Descriptor;
use crate::source::{Source, resolve};
use crate::{Digest, Platform};

/// Small and impatient.
fn settings() -> Settings {
    Settings {
        piece: 100_000,
        pause: Duration::from_millis(5),
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(700),
        progress: 1000,
        certificates: Vec::new(),
        ..Settings::default()
    }
}

fn open(name: &str) -> Result<Registry> {
    Registry::new(&name.parse()?, CredentialFiles::default(), settings())
}

/// Reads the manifest, the configuration and the layer, and checks their digests.
fn pull_from(registry: &Registry) -> Result<Vec<u8>> {
    let resolved = resolve(registry, &Platform::host())?;
    let layer = &resolved.manifest.layers[0];
    let bytes = read(registry, layer)?;
    let found = Digest::of(&bytes);
    if found != layer.digest {
        return Err(crate::source::mismatch(&layer.digest, &found));
    }
    Ok(bytes)
}

fn read(registry: &Registry, blob: &Descriptor) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    registry
        .open(blob)?
        .read_to_end(&mut bytes)
        .doing(|| "reading".to_owned())?;
    Ok(bytes)
}

/// Pulls `fn:1` from a server that answers so.
fn pull(server: &Server) -> Result<Vec<u8>> {
    pull_from(&open(&format!("127.0.0.1:{}/fn:1", server.port))?)
}

fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[test]
fn a_good_registry() {
    let blobs = Blobs::new(1_234_567);
    let good = blobs.clone();
    let server = Server::new(move |request, connection| good.serve(request, connection));
    assert_eq!(pull(&server).unwrap(), blobs.layer);
    let ranges: Vec<_> = server
        .seen()
        .iter()
        .filter(|request| blobs.is_layer(request))
        .map(|request| request.range().unwrap())
        .collect();
    assert_eq!(ranges.len(), 13, "one request a piece: {ranges:?}");
    assert!(ranges.contains(&(1_200_000, 1_234_566)), "{ranges:?}");
    for request in server.seen() {
        assert_eq!(request.header("authorization"), "");
    }
}

/// In one request without a body, or in two where the registry does not say it.
#[test]
fn what_a_tag_leads_to() {
    let blobs = Blobs::new(1000);
    let expected = Digest::of(&blobs.manifest);
    for (announces, asked) in [(true, ["HEAD"].as_slice()), (false, &["HEAD", "GET"])] {
        let manifest = blobs.manifest.clone();
        let server = Server::new(move |request, mut connection| {
            let digest = format!("Docker-Content-Digest: {expected}");
            let media_type = format!("Content-Type: {}", crate::manifest::OCI_MANIFEST);
            let headers = [media_type.as_str(), &digest];
            let headers = &headers[..if announces { 2 } else { 1 }];
            if request.method == "HEAD" {
                connection.head(200, headers, Some(manifest.len()));
            } else {
                connection.answer(200, headers, &manifest);
            }
        });
        let registry = open(&format!("127.0.0.1:{}/fn:1", server.port)).unwrap();
        assert_eq!(registry.digest().unwrap(), expected);
        let seen = server.seen();
        let manifests = seen
            .iter()
            .filter(|request| request.path.contains("/manifests/"));
        let methods: Vec<&str> = manifests.map(|request| request.method.as_str()).collect();
        assert_eq!(methods, asked);
    }
}

#[test]
fn readers_that_are_left_alone_block_nobody() {
    let blobs = Blobs::new(1_000_000);
    let good = blobs.clone();
    let server = Server::new(move |request, connection| good.serve(request, connection));
    let registry = open(&format!("127.0.0.1:{}/fn:1", server.port)).unwrap();
    let resolved = resolve(&registry, &Platform::host()).unwrap();
    let layer = &resolved.manifest.layers[0];
    let mut idle: Vec<_> = (0..6).map(|_| registry.open(layer).unwrap()).collect();
    assert_eq!(read(&registry, layer).unwrap(), blobs.layer);
    for reader in &mut idle {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(Digest::of(bytes), layer.digest);
    }
}

#[test]
fn bytes_by_another_digest_are_refused() {
    use crate::ErrorKind::{DigestMismatch, Invalid};
    let blobs = Blobs::new(1000);
    let other = Digest::of("other");
    // By digest, with a header that claims to agree; by tag, with one that does not.
    for (name, announced) in [(format!("fn@{other}"), other), ("fn:1".to_owned(), other)] {
        let good = blobs.clone();
        let server = Server::new(move |_, mut connection| {
            let digest = format!("Docker-Content-Digest: {announced}");
            let media_type = format!("Content-Type: {}", crate::manifest::OCI_MANIFEST);
            connection.answer(200, &[&digest, &media_type], &good.manifest);
        });
        let registry = open(&format!("127.0.0.1:{}/{name}", server.port)).unwrap();
        assert_eq!(pull_from(&registry).unwrap_err().kind(), DigestMismatch);
    }
    // A layer that was changed, shortened or lengthened.
    for (change, kind) in [(0, DigestMismatch), (1, Invalid), (2, Invalid)] {
        let good = blobs.clone();
        let server = Server::new(move |request, mut connection| {
            if !good.is_layer(request) {
                return good.serve(request, connection);
            }
            let mut layer = good.layer.clone();
            match change {
                0 => layer[500] ^= 1,
                1 => layer.truncate(999),
                _ => layer.push(0),
            }
            connection.answer(200, &[], layer);
        });
        let error = pull(&server).unwrap_err();
        assert_eq!(error.kind(), kind, "{change}: {error}");
    }
}

#[test]
fn a_content_type_that_says_nothing_is_made_up_for() {
    let blobs = Blobs::new(1000);
    for content_type in ["", "Content-Type: application/json; charset=utf-8"] {
        let good = blobs.clone();
        let server = Server::new(move |request, mut connection| {
            if request.path.contains("/manifests/") {
                connection.answer(
                    200,
                    &[content_type][..content_type.len().min(1)],
                    &good.manifest,
                );
            } else {
                good.serve(request, connection);
            }
        });
        assert_eq!(pull(&server).unwrap(), blobs.layer);
    }
}
