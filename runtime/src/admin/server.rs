//! The service's end of the socket.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Notify, mpsc};

use super::protocol::{LOGS, LogRecord, STATUS, STOP, ServiceStatus};
use super::socket::AdminSocket;
use super::status;
use crate::observation::{Batch, Follower, LogLine};
use crate::server::connections::Connections;
use crate::server::{Context, ResponseBody, full};

/// Commands at a time. Many, because a follower that sleeps keeps its place, and
/// `lambent stop` must find one.
const MAX_CONNECTIONS: u16 = 512;

/// Answers `lambent ps`, `logs` and `stop`.
#[derive(Debug)]
pub(crate) struct AdminServer {
    socket: AdminSocket,
    connections: Connections,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    endpoint: SocketAddr,
    started: Instant,
    context: Arc<Context>,
    stop: Notify,
}

impl AdminServer {
    /// For a service at `endpoint`.
    pub(crate) fn new(socket: AdminSocket, endpoint: SocketAddr, context: Arc<Context>) -> Self {
        let shared = Shared {
            name: socket.name().to_owned(),
            endpoint,
            started: Instant::now(),
            context,
            stop: Notify::new(),
        };
        Self {
            socket,
            connections: Connections::new(MAX_CONNECTIONS),
            shared: Arc::new(shared),
        }
    }

    /// Serves until it is dropped. Requests that have begun go on.
    pub(crate) async fn serve(&self) {
        while let Some(permit) = self.connections.permit().await {
            let Ok((stream, _)) = self.socket.listener.accept().await else {
                // Out of descriptors.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let shared = Arc::clone(&self.shared);
            self.connections.spawn(permit, stream, move |request| {
                let shared = Arc::clone(&shared);
                async move { shared.answer(&request) }
            });
        }
    }

    /// Resolves when somebody asked the service to stop.
    pub(crate) async fn stop_requested(&self) {
        self.shared.stop.notified().await;
    }

    /// Waits until all answers have been taken, once there is nothing to add.
    pub(crate) async fn finish(&self) {
        self.connections.finish();
        self.connections.ended().await;
    }
}

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Response<ResponseBody> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, STATUS) => self.status(),
            (&Method::GET, LOGS) => self.logs(request.uri().query().unwrap_or_default()),
            (&Method::POST, STOP) => {
                self.stop.notify_one();
                respond(StatusCode::ACCEPTED, full(Bytes::new()))
            }
            _ => refuse(StatusCode::NOT_FOUND, "no such request"),
        }
    }

    fn status(&self) -> Response<ResponseBody> {
        let status = ServiceStatus {
            service: self.name.clone(),
            pid: std::process::id(),
            endpoint: format!("http://{}", self.endpoint),
            uptime_seconds: self.started.elapsed().as_secs(),
            asynchronous_events: self.context.events.events(),
            functions: status::functions(&self.context),
        };
        match serde_json::to_vec(&status) {
            Ok(json) => respond(StatusCode::OK, full(json.into())),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn logs(&self, query: &str) -> Response<ResponseBody> {
        let Some(asked) = Asked::parse(query) else {
            return refuse(StatusCode::BAD_REQUEST, "no such query");
        };
        let function = match asked.function.map(str::parse).transpose() {
            Ok(function) => function,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("{error}")),
        };
        let history = self.context.pools.observer().history();
        let Some(follower) = history.follow(function, asked.since) else {
            let name = asked.function.unwrap_or_default();
            return refuse(
                StatusCode::NOT_FOUND,
                &format!("there is no function \"{name}\": `lambent ps` lists what there is"),
            );
        };
        // One batch at a time, and only when the one before has been taken.
        let (sender, batches) = mpsc::channel(1);
        tokio::spawn(send(follower, asked.follow, sender));
        respond(StatusCode::OK, Lines { batches }.boxed_unsync())
    }
}

/// The query of [`LOGS`].
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'a> {
    function: Option<&'a str>,
    since: Option<SystemTime>,
    follow: bool,
}

impl<'a> Asked<'a> {
    fn parse(query: &'a str) -> Option<Self> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                // Names of functions need no escapes.
                ("function", name) => asked.function = Some(name),
                ("since", ms) => {
                    let since = Duration::from_millis(ms.parse().ok()?);
                    asked.since = SystemTime::UNIX_EPOCH.checked_add(since);
                }
                ("follow", "true") => asked.follow = true,
                _ => return None,
            }
        }
        Some(asked)
    }
}

/// Reads as fast as the other side takes it. What is overwritten meanwhile is lost
/// to this reader, and to nobody else.
async fn send(mut follower: Follower, follow: bool, sender: mpsc::Sender<Bytes>) {
    let mut last = false;
    loop {
        let batch = follower.read();
        if batch != Batch::default() {
            if sender.send(encode(&batch)).await.is_err() {
                return;
            }
            continue;
        }
        // What came before the end has been read.
        if !follow || last {
            return;
        }
        tokio::select! {
            more = follower.more() => last = !more,
            () = sender.closed() => return,
        }
    }
}

fn encode(batch: &Batch) -> Bytes {
    let lost = (batch.lost > 0).then_some(LogRecord::Lost(batch.lost));
    let lines = batch.lines.iter().map(record);
    let mut text = vec![];
    for record in lost.into_iter().chain(lines) {
        // Strings and numbers have a JSON form, and the target is memory.
        if serde_json::to_writer(&mut text, &record).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}

fn record(line: &LogLine) -> LogRecord {
    LogRecord::Line {
        time: DateTime::<Utc>::from(line.at).to_rfc3339_opts(SecondsFormat::Millis, true),
        function: line.function.to_string(),
        message: String::from_utf8_lossy(&line.text).into_owned(),
    }
}

/// A body that comes in pieces.
struct Lines {
    batches: mpsc::Receiver<Bytes>,
}

impl Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let batch = self.batches.poll_recv(context);
        batch.map(|batch| batch.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn respond(status: StatusCode, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn refuse(status: StatusCode, reason: &str) -> Response<ResponseBody> {
    respond(status, full(reason.to_owned().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        assert_eq!(Asked::parse(""), Some(Asked::default()));
        let asked = Asked::parse("function=f&since=1500&follow=true").unwrap();
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(
            (asked.function, asked.since, asked.follow),
            (Some("f"), Some(since), true)
        );
        for bad in ["function", "since=x", "follow=1", "a=b"] {
            assert_eq!(Asked::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_lost_is_said_first() {
        let batch = Batch {
            lost: 7,
            lines: vec![LogLine {
                at: SystemTime::UNIX_EPOCH,
                function: "f".parse().unwrap(),
                text: Arc::from(&b"a\xff\tb"[..]),
            }],
        };
        let expected = concat!(
            "{\"lost\":7}\n",
            "{\"line\":{\"time\":\"1970-01-01T00:00:00.000Z\",\"function\":\"f\",",
            "\"message\":\"a\u{fffd}\\tb\"}}\n",
        );
        assert_eq!(encode(&batch), expected);
    }
}
