//! Servers that are slow, break off, or do ranges wrongly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::server::{Blobs, Connection, Request, Server};
use super::{pull, text};
use crate::ErrorKind;

/// Answers a request for the layer, which is the so-many-th.
type Answer = fn(&Blobs, &Request, Connection, usize);

/// Answers any request.
type RawAnswer = fn(Connection);

/// A good registry but for its layer, whose requests are counted from 0.
fn with_layer(
    blobs: &Blobs,
    answer: impl Fn(&Blobs, &Request, Connection, usize) + Send + Sync + 'static,
) -> Server {
    let blobs = blobs.clone();
    let count = AtomicUsize::new(0);
    Server::new(move |request, connection| {
        if blobs.is_layer(request) {
            let number = count.fetch_add(1, Ordering::SeqCst);
            answer(&blobs, request, connection, number);
        } else {
            blobs.serve(request, connection);
        }
    })
}

fn content_range(first: usize, last: usize, size: usize) -> String {
    format!("Content-Range: bytes {first}-{last}/{size}")
}

#[test]
fn a_download_that_breaks_off_is_resumed_where_it_was() {
    let blobs = Blobs::new(1_000_000);
    // Every other request gets half of what it asked for, or the whole and a reset.
    for reset in [false, true] {
        let server = with_layer(&blobs, move |blobs, request, mut connection, number| {
            let (first, last) = request.range().unwrap();
            if number % 2 == 1 {
                return connection.blob(request, &blobs.layer);
            }
            let range = content_range(first, last, blobs.layer.len());
            connection.head(206, &[&range], Some(last + 1 - first));
            connection.raw(&blobs.layer[first..usize::midpoint(first, last)]);
            if reset {
                // What was sent must arrive first.
                std::thread::sleep(Duration::from_millis(50));
                connection.reset();
            }
        });
        assert_eq!(pull(&server).unwrap(), blobs.layer, "{reset}");
        let resumed = server.seen().iter().any(|request| {
            let range = request.range();
            blobs.is_layer(request) && range.is_some_and(|(first, _)| first % 100_000 != 0)
        });
        assert!(resumed, "nothing was asked for twice");
    }
}

#[test]
fn broken_ranges_end_in_the_whole_blob() {
    let blobs = Blobs::new(1_000_000);
    let answers: [(&str, Answer); 6] = [
        ("ranges are ignored", |blobs, _, mut connection, _| {
            connection.answer(200, &[], &blobs.layer);
        }),
        (
            "and it breaks off twice",
            |blobs, _, mut connection, number| {
                if number < 2 {
                    connection.head(200, &[], Some(blobs.layer.len()));
                    connection.raw(&blobs.layer[..300_000 * (number + 1)]);
                } else {
                    connection.answer(200, &[], &blobs.layer);
                }
            },
        ),
        ("without a length", |blobs, _, mut connection, _| {
            connection.head(200, &[], None);
            connection.raw(&blobs.layer);
        }),
        (
            "only the first range is right",
            |blobs, request, mut connection, number| {
                if number == 0 || request.range().is_none() {
                    return connection.blob(request, &blobs.layer);
                }
                let range = content_range(0, 99_999, blobs.layer.len());
                connection.answer(206, &[&range], &blobs.layer[..100_000]);
            },
        ),
        (
            "Content-Range is missing",
            |blobs, request, mut connection, _| match request.range() {
                Some((first, last)) => connection.answer(206, &[], &blobs.layer[first..=last]),
                None => connection.answer(200, &[], &blobs.layer),
            },
        ),
        (
            "no range can be satisfied",
            |blobs, request, mut connection, _| match request.range() {
                Some(_) => connection.answer(416, &[], ""),
                None => connection.answer(200, &[], &blobs.layer),
            },
        ),
    ];
    for (what, answer) in answers {
        let server = with_layer(&blobs, answer);
        let pulled = pull(&server).map_err(|error| format!("{what}: {error}"));
        assert_eq!(pulled.unwrap(), blobs.layer, "{what}");
    }
}

#[test]
fn longer_ranges_than_asked_for_are_cut() {
    let blobs = Blobs::new(300_000);
    let server = with_layer(&blobs, |blobs, request, mut connection, _| {
        let (first, _) = request.range().unwrap();
        let range = content_range(first, blobs.layer.len() - 1, blobs.layer.len());
        connection.answer(206, &[&range], &blobs.layer[first..]);
    });
    assert_eq!(pull(&server).unwrap(), blobs.layer);
}

#[test]
fn an_endless_blob_ends() {
    let blobs = Blobs::new(50_000);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let server = with_layer(&blobs, move |_, _, mut connection, _| {
        connection.head(200, &[], None);
        while connection.raw([7; 10_000]) {
            counter.fetch_add(10_000, Ordering::SeqCst);
        }
    });
    let error = pull(&server).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("50000"), "{error}");
    assert!(sent.load(Ordering::SeqCst) < 20_000_000);
}

#[test]
fn what_stalls_or_drips_is_given_up() {
    let blobs = Blobs::new(50_000);
    let answers: [(&str, Answer); 3] = [
        ("silence", |_, _, _connection, _| {
            std::thread::sleep(Duration::from_secs(20));
        }),
        ("silence after the head", |_, _, mut connection, _| {
            connection.head(200, &[], Some(50_000));
            std::thread::sleep(Duration::from_secs(20));
        }),
        ("a byte at a time", |_, _, mut connection, _| {
            connection.head(200, &[], Some(50_000));
            while connection.raw([0]) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
    ];
    for (what, answer) in answers {
        let server = with_layer(&blobs, answer);
        let begin = Instant::now();
        let error = pull(&server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{what}: {error}");
        assert!(error.to_string().contains("5 tries"), "{what}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
    }
}

#[test]
fn passing_refusals_are_waited_for_and_lasting_ones_are_not() {
    let blobs = Blobs::new(1000);
    for (status, header) in [
        (429, "Retry-After: 0"),
        (503, "X: y"),
        (500, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"),
    ] {
        let server = with_layer(&blobs, move |blobs, request, mut connection, number| {
            if number < 3 {
                connection.answer(status, &[header], "");
            } else {
                connection.blob(request, &blobs.layer);
            }
        });
        assert_eq!(pull(&server).unwrap(), blobs.layer);
    }
    for (status, header, tries) in [
        (429, "Retry-After: 1000000000", 1),
        (429, "Retry-After: 99999999999999999999999", 1),
        (500, "X: y", 5),
        (400, "X: y", 1),
        (404, "X: y", 1),
        (501, "X: y", 1),
    ] {
        let server = with_layer(&blobs, move |_, _, mut connection, _| {
            connection.answer(status, &[header], r#"{"errors":[{"code":"TEST\u001b"}]}"#);
        });
        let error = pull(&server).unwrap_err();
        assert_eq!(server.count("/blobs/"), 1 + tries, "{status}: {error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(error.to_string().contains("TEST"), "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

#[test]
fn a_server_that_only_resets_is_given_up() {
    let server = Server::new(|_, connection| connection.reset());
    let begin = Instant::now();
    let error = pull(&server).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// Not even a greeting of TLS is answered, which is what is tried first.
#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept() {
            open.push(connection);
        }
    });
    let registry = super::open(&format!("127.0.0.1:{port}/fn:1")).unwrap();
    let error = super::pull_from(&registry).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
}

#[test]
fn huge_answers_are_not_read() {
    let answers: [(&str, RawAnswer); 4] = [
        ("an endless manifest", |mut connection| {
            connection.head(200, &[], None);
            while connection.raw(vec![b' '; 65_536]) {}
        }),
        ("an endless error", |mut connection| {
            connection.head(404, &[], None);
            while connection.raw(vec![b'x'; 65_536]) {}
        }),
        ("an endless header", |mut connection| {
            connection.raw("HTTP/1.1 200 OK\r\nX: ");
            while connection.raw(vec![b'x'; 65_536]) {}
        }),
        ("endless headers", |mut connection| {
            connection.raw("HTTP/1.1 200 OK\r\n");
            while connection.raw("X: y\r\n".repeat(10_000)) {}
        }),
    ];
    for (what, answer) in answers {
        let server = Server::new(move |_, connection| answer(connection));
        let begin = Instant::now();
        let error = pull(&server).unwrap_err();
        let kinds = [
            ErrorKind::LimitExceeded,
            ErrorKind::NotFound,
            ErrorKind::Unreachable,
        ];
        assert!(kinds.contains(&error.kind()), "{what}: {error}");
        assert!(text(&error).len() < 2000, "{what}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
    }
}
