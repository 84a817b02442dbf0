//! An OTLP collector: it takes requests over HTTP and keeps the spans that are in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span as Message;
use prost::Message as _;
use serde_json::{Value, json};

use crate::wait::until;

/// A listening collector. Its thread ends with the test's process.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

#[derive(Debug, Default)]
struct Received {
    heads: Vec<String>,
    spans: Vec<Span>,
}

/// How requests are answered.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// At once, with success.
    Success,
    /// With this status.
    Status(u16),
    /// Not for so long.
    After(Duration),
}

/// A span that has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Attributes of its resource.
    pub resource: BTreeMap<String, Value>,
    /// Hexadecimal.
    pub trace: String,
    /// Hexadecimal.
    pub id: String,
    /// Hexadecimal; empty for none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// OpenTelemetry's number: 1 internal, 2 server.
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// The same.
    pub end: u64,
    /// Its own attributes.
    pub attributes: BTreeMap<String, Value>,
    /// The message of its status, if that is an error.
    pub error: Option<String>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let received: Arc<Mutex<Received>> = Arc::default();
        let sink = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || {
                    // Whoever hangs up has ended.
                    let _ = serve(&stream, answer, &sink);
                });
            }
        });
        Self { address, received }
    }

    /// What `--otlp-endpoint` is to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans so far, in the order in which they came.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.received).spans.clone()
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.received).heads.clone()
    }

    /// Waits until so many traces are whole, and returns the spans of each, with the
    /// root first.
    ///
    /// # Panics
    /// If they do not come.
    pub fn traces(&self, count: usize) -> Vec<Vec<Span>> {
        until("traces come", || self.roots().len() >= count);
        let spans = self.spans();
        let roots = self.roots();
        let below = |root: &Span| {
            let mut tree = vec![root.clone()];
            let mut next = 0;
            while next < tree.len() {
                let id = tree[next].id.clone();
                let children = spans.iter().filter(|span| span.parent == id);
                tree.extend(children.cloned().collect::<Vec<_>>());
                next += 1;
            }
            tree
        };
        roots.iter().map(below).collect()
    }

    /// The spans of whole invocations.
    fn roots(&self) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.kind == 2);
        spans
    }
}

impl Span {
    fn new(resource: &[KeyValue], message: Message) -> Self {
        let status = message.status.filter(|status| status.code == 2);
        Self {
            resource: attributes(resource),
            trace: hexadecimal(&message.trace_id),
            id: hexadecimal(&message.span_id),
            parent: hexadecimal(&message.parent_span_id),
            name: message.name,
            kind: message.kind,
            start: message.start_time_unix_nano,
            end: message.end_time_unix_nano,
            attributes: attributes(&message.attributes),
            error: status.map(|status| status.message),
        }
    }
}

/// The only span of this name.
///
/// # Panics
/// If there is none, or another.
pub fn only<'a>(trace: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = trace.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {trace:#?}");
    found[0]
}

fn lock(received: &Mutex<Received>) -> std::sync::MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, answer: Answer, received: &Mutex<Received>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(text) = lower.strip_prefix("content-length:") {
                length = text.trim().parse().map_err(std::io::Error::other)?;
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = ExportTraceServiceRequest::decode(&*body).map_err(std::io::Error::other)?;
        let status = match answer {
            Answer::Success => 200,
            Answer::Status(status) => status,
            Answer::After(wait) => {
                std::thread::sleep(wait);
                200
            }
        };
        let mut all = lock(received);
        all.heads.push(head);
        for resource in request.resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes);
            let attributes = attributes.unwrap_or_default();
            for scope in resource.scope_spans {
                let spans = scope.spans.into_iter();
                all.spans
                    .extend(spans.map(|span| Span::new(&attributes, span)));
            }
        }
        drop(all);
        write!(
            &mut &*stream,
            "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"
        )?;
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, Value> {
    let pairs = pairs.iter().map(|pair| {
        let value = pair.value.clone().and_then(|value| value.value);
        let value = match value {
            Some(Any::StringValue(text)) => json!(text),
            Some(Any::BoolValue(flag)) => json!(flag),
            Some(Any::IntValue(number)) => json!(number),
            other => json!(format!("{other:?}")),
        };
        (pair.key.clone(), value)
    });
    pairs.collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Infallible: the target is a string.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
