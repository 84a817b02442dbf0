//! Credentials: where they go, and where they must not go.

use std::path::Path;

use super::server::{Blobs, Server};
use super::{CredentialFiles, Registry, pull, pull_from, settings};
use crate::ErrorKind;
use crate::error::Result;

const BASIC: &str = "Basic dXNlcjpwYXNz"; // user:pass

fn file(directory: &Path, server: &str, entry: &str) -> CredentialFiles {
    let path = directory.join("auth.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{server}":{entry}}}}}"#)).unwrap();
    CredentialFiles(vec![path])
}

/// Pulls with user:pass for the server, or another entry.
fn pull_with(server: &Server, entry: &str) -> Result<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let host = format!("127.0.0.1:{}", server.port);
    let files = file(directory.path(), &host, entry);
    let reference = format!("{host}/fn:1").parse()?;
    pull_from(&Registry::new(&reference, files, settings())?)
}

const ENTRY: &str = r#"{"auth":"dXNlcjpwYXNz"}"#;

/// A registry that wants this header, and otherwise challenges so.
fn guarded(blobs: &Blobs, wanted: &'static str, challenge: String) -> Server {
    let blobs = blobs.clone();
    Server::new(move |request, mut connection| {
        if request.header("authorization") == wanted {
            return blobs.serve(request, connection);
        }
        let challenge = format!("WWW-Authenticate: {challenge}");
        connection.answer(
            401,
            &[&challenge],
            r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#,
        );
    })
}

#[test]
fn basic_credentials() {
    let blobs = Blobs::new(1000);
    let server = guarded(&blobs, BASIC, "Basic realm=\"x\"".to_owned());
    assert_eq!(pull_with(&server, ENTRY).unwrap(), blobs.layer);

    let error = pull(&server).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("no credentials"), "{error}");
    let error = pull_with(&server, r#"{"auth":"dXNlcjp3cm9uZw=="}"#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("auth.json"), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[test]
fn tokens_with_a_password_an_identity_token_or_nothing() {
    let blobs = Blobs::new(1000);
    let issuer = Server::new(|request, mut connection| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let asked = format!("{} {form}", request.path);
        let fits = asked.contains("scope=repository%3Afn%3Apull") && asked.contains("service=s");
        let known = match request.method.as_str() {
            "POST" => form.contains("refresh_token=idtoken&") && form.contains("grant_type="),
            _ => ["", BASIC].contains(&request.header("authorization")),
        };
        if fits && known {
            connection.answer(200, &[], r#"{"access_token":"t","expires_in":60}"#);
        } else {
            connection.answer(401, &[], "");
        }
    });
    let challenge = format!(
        r#"Bearer realm="http://127.0.0.1:{}/token",service="s",scope="repository:other:push""#,
        issuer.port
    );
    let server = guarded(&blobs, "Bearer t", challenge);
    assert_eq!(pull(&server).unwrap(), blobs.layer);
    assert_eq!(pull_with(&server, ENTRY).unwrap(), blobs.layer);
    let identity = r#"{"auth":"","identitytoken":"idtoken"}"#;
    assert_eq!(pull_with(&server, identity).unwrap(), blobs.layer);
    for request in server.seen() {
        assert!(!request.header("authorization").starts_with("Basic"));
    }
    let methods: Vec<_> = issuer.seen().into_iter().map(|r| r.method).collect();
    assert_eq!(methods, ["GET", "GET", "POST"], "one token an image");
    let error = pull_with(&server, r#"{"identitytoken":"old"}"#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[test]
fn a_token_that_runs_out_is_renewed_and_one_that_never_works_is_not() {
    let blobs = Blobs::new(1000);
    let issuer = Server::new(|_, mut connection| {
        let serial = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        connection.answer(200, &[], format!(r#"{{"token":"t{serial}"}}"#));
    });
    let challenge = format!(
        r#"WWW-Authenticate: Bearer realm="http://localhost:{}/""#,
        issuer.port
    );
    let good = blobs.clone();
    let line = challenge.clone();
    // Each token is good for one document.
    let used = std::sync::Mutex::new(std::collections::HashMap::new());
    let server = Server::new(move |request, mut connection| {
        let token = request.header("authorization").to_owned();
        let mut used = used.lock().unwrap();
        let path = used
            .entry(token.clone())
            .or_insert_with(|| request.path.clone());
        if token.is_empty() || *path != request.path {
            connection.answer(401, &[&line], "");
        } else {
            drop(used);
            good.serve(request, connection);
        }
    });
    assert_eq!(pull(&server).unwrap(), blobs.layer);

    let before = issuer.seen().len();
    let server = Server::new(move |_, mut connection| connection.answer(401, &[&challenge], ""));
    let error = pull(&server).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(issuer.seen().len() - before <= 3, "401 for ever");
}

#[test]
fn redirects_lose_credentials() {
    let blobs = Blobs::new(250_000);
    let good = blobs.clone();
    let storage = Server::new(move |request, connection| good.serve(request, connection));
    for name in ["127.0.0.1", "localhost"] {
        let (good, port) = (blobs.clone(), storage.port);
        let server = Server::new(move |request, mut connection| {
            if request.header("authorization") != BASIC {
                connection.answer(401, &["WWW-Authenticate: Basic realm=x"], "");
            } else if request.path.contains("/blobs/") {
                let location = format!("Location: http://{name}:{port}{}", request.path);
                connection.answer(307, &[&location], "");
            } else {
                good.serve(request, connection);
            }
        });
        assert_eq!(pull_with(&server, ENTRY).unwrap(), blobs.layer);
    }
    assert!(storage.seen().len() >= 2);
    for request in storage.seen() {
        assert_eq!(request.header("authorization"), "", "{request:?}");
    }
    // One that answers a stray 401 gets nothing either.
    let storage = Server::new(|_, mut connection| {
        connection.answer(401, &["WWW-Authenticate: Basic realm=x"], "");
    });
    let (good, port) = (blobs, storage.port);
    let server = Server::new(move |request, mut connection| {
        if request.path.contains("/blobs/") {
            let location = format!("Location: http://127.0.0.1:{port}/x");
            connection.answer(307, &[&location], "");
        } else {
            good.serve(request, connection);
        }
    });
    let error = pull_with(&server, ENTRY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert_eq!(storage.seen().len(), 1);
    assert_eq!(storage.seen()[0].header("authorization"), "");
}

#[test]
fn redirects_end_and_stay_on_tls_or_on_this_machine() {
    for location in [
        "/v2/fn/manifests/1",
        "http://192.0.2.1/x",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ] {
        let header = format!("Location: {location}");
        let server = Server::new(move |_, mut connection| connection.answer(302, &[&header], ""));
        let begin = std::time::Instant::now();
        let error = pull(&server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{location}: {error}");
        assert!(begin.elapsed().as_secs() < 3, "{location}");
        assert!(server.count("/manifests/") <= 12, "{location}");
    }
}

#[test]
fn token_realms_elsewhere_get_nothing() {
    let blobs = Blobs::new(1000);
    for realm in [
        "http://192.0.2.1/token",
        "http://169.254.169.254/latest",
        "gopher://127.0.0.1/",
        "",
    ] {
        let server = guarded(&blobs, "never", format!("Bearer realm=\"{realm}\""));
        let begin = std::time::Instant::now();
        let error = pull_with(&server, ENTRY).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{realm}: {error}");
        assert!(error.to_string().contains("realm"), "{error}");
        assert!(begin.elapsed().as_secs() < 3, "{realm}");
        for request in server.seen() {
            assert_eq!(request.header("authorization"), "");
        }
    }
}

#[test]
fn huge_and_broken_tokens_are_refused() {
    let blobs = Blobs::new(1000);
    let endless = |mut connection: super::server::Connection| {
        connection.head(200, &[], None);
        connection.raw(r#"{"token":""#);
        while connection.raw(vec![b'x'; 65_536]) {}
    };
    let empty = |mut connection: super::server::Connection| connection.answer(200, &[], "{}");
    for answer in [endless, empty] {
        let issuer = Server::new(move |_, connection| answer(connection));
        let challenge = format!(r#"Bearer realm="http://127.0.0.1:{}/""#, issuer.port);
        let server = guarded(&blobs, "never", challenge);
        let error = pull(&server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains("token"), "{error}");
    }
}

#[test]
fn hosts_that_are_not_there() {
    for name in ["127.0.0.1:1/fn", "no-such-host.invalid/fn", "[::1]:1/fn"] {
        let begin = std::time::Instant::now();
        let error = super::open(name).and_then(|r| pull_from(&r)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{name}: {error}");
        assert!(begin.elapsed().as_secs() < 10, "{name}");
    }
}
