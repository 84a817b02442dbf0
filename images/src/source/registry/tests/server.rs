//! A registry whose every answer is written by a test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::Digest;

/// What a client asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// By lower-case name.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The first and the last byte that are asked for.
    pub(super) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self
            .header("range")
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((first.parse().unwrap(), last.parse().unwrap()))
    }
}

/// The connection to write an answer to, however wrong.
pub(super) struct Connection(pub(super) TcpStream);

impl Connection {
    /// Writes raw bytes; the client may be gone.
    pub(super) fn raw(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// Writes a whole answer. `headers` are lines without their ends.
    pub(super) fn answer(&mut self, status: u16, headers: &[&str], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        self.head(status, headers, Some(body.len()));
        self.raw(body);
    }

    pub(super) fn head(&mut self, status: u16, headers: &[&str], length: Option<usize>) {
        let mut text = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
        for line in headers {
            text.extend([line, "\r\n"]);
        }
        if let Some(length) = length {
            write!(text, "Content-Length: {length}\r\n").unwrap();
        }
        self.raw(text + "\r\n");
    }

    /// Answers as a good registry does.
    pub(super) fn blob(&mut self, request: &Request, bytes: &[u8]) {
        match request.range() {
            Some((first, last)) => {
                let range = format!("Content-Range: bytes {first}-{last}/{}", bytes.len());
                self.answer(206, &[&range], &bytes[first..=last]);
            }
            None => self.answer(200, &[], bytes),
        }
    }

    /// Resets the connection instead of closing it.
    pub(super) fn reset(self) {
        let linger = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.0, linger).unwrap();
    }
}

/// A server on a port of its own; ends with the test's process.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request, one a connection and each on its own thread.
    pub(super) fn new(answer: impl Fn(&Request, Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&server.seen);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // Anything that is no HTTP, such as TLS, is hung up on.
                    if let Some(request) = read(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        answer(&request, Connection(stream));
                    }
                });
            }
        });
        server
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub(super) fn count(&self, path: &str) -> usize {
        let seen = self.seen();
        seen.iter()
            .filter(|request| request.path.contains(path))
            .count()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    std::io::Read::read_exact(&mut reader, &mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body,
    })
}

/// An image of one layer: its manifest, configuration and layer.
#[derive(Clone)]
pub(super) struct Blobs {
    pub(super) manifest: String,
    pub(super) config: String,
    pub(super) layer: Vec<u8>,
}

impl Blobs {
    /// A layer of noise, which is enough for what never unpacks it.
    pub(super) fn new(length: usize) -> Self {
        let mut state = 42_u64;
        let layer: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(length)
        .collect();
        let host = crate::Platform::host();
        let config = serde_json::json!({
            "os": host.os, "architecture": host.architecture, "config": {},
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        })
        .to_string();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": crate::manifest::OCI_MANIFEST,
            "config": { "mediaType": crate::manifest::OCI_CONFIG,
                "digest": Digest::of(&config), "size": config.len() },
            "layers": [{ "mediaType": crate::manifest::OCI_LAYER,
                "digest": Digest::of(&layer), "size": length }],
        })
        .to_string();
        Self {
            manifest,
            config,
            layer,
        }
    }

    /// Answers as a good registry does.
    pub(super) fn serve(&self, request: &Request, mut connection: Connection) {
        let path = request.path.as_str();
        if path.contains("/manifests/") {
            let media_type = format!("Content-Type: {}", crate::manifest::OCI_MANIFEST);
            connection.answer(200, &[&media_type], &self.manifest);
        } else if path.ends_with(&Digest::of(&self.config).to_string()) {
            connection.blob(request, self.config.as_bytes());
        } else if path.ends_with(&Digest::of(&self.layer).to_string()) {
            connection.blob(request, &self.layer);
        } else {
            connection.answer(404, &[], "");
        }
    }

    /// True if a request is for the layer.
    pub(super) fn is_layer(&self, request: &Request) -> bool {
        request.path.ends_with(&Digest::of(&self.layer).to_string())
    }
}
