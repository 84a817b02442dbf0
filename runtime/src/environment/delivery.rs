//! Delivers batches to one subscriber, over connections into the environment's own
//! network. One batch at a time; what cannot be delivered in [`LIMIT`] is lost and
//! counted.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::queue::{Pace, Queue};
use crate::sandbox::Network;
use crate::telemetry::{
    Category, Destination, Dropped, HttpMethod, Item, Subscription, logs_dropped,
};

/// How long a subscriber may take for a batch, while the environment runs. Its own
/// connection included: it may be about to listen.
const LIMIT: Duration = Duration::from_secs(2);

/// Between attempts to reach a subscriber that does not listen, or hangs up.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes of an answer that are read, so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Delivers what is in the queue until the task is aborted.
pub(super) async fn run(
    queue: Arc<Queue>,
    subscription: Subscription,
    network: Network,
    mut pace: watch::Receiver<Pace>,
    losses: mpsc::UnboundedSender<Dropped>,
) {
    let tells_losses = subscription.types.contains(&Category::Platform);
    let mut connection = Connection::new(subscription.destination, network, pace.clone());
    loop {
        let batch = Batch::new(queue.next(&mut pace).await, tells_losses);
        let delivered = connection.deliver(&batch, &mut pace).await;
        let (lost, newly) = batch.lost_after(delivered);
        let lost = queue.done(lost, newly);
        if lost.records > 0 {
            // An environment that has ended says no more.
            let _ = losses.send(lost);
        }
    }
}

/// Events as they go out, and what each of them stands for.
struct Batch {
    events: Vec<Outgoing>,
}

struct Outgoing {
    line: Vec<u8>,
    counted: Dropped,
    /// It tells of what was lost before.
    is_gap: bool,
}

impl Batch {
    fn new(items: Vec<Item>, tells_losses: bool) -> Self {
        let events = items.into_iter().filter_map(|item| match item {
            Item::Event(line) => Some(Outgoing {
                counted: Dropped::one(&line),
                line,
                is_gap: false,
            }),
            Item::Gap(gap) if tells_losses => Some(Outgoing {
                line: logs_dropped(SystemTime::now(), gap),
                counted: gap,
                is_gap: true,
            }),
            // Nobody has asked.
            Item::Gap(_) => None,
        });
        Self {
            events: events.collect(),
        }
    }

    /// An array.
    fn json(&self) -> Bytes {
        let events: Vec<_> = self.events.iter().map(|event| &*event.line).collect();
        [b"[", events.join(&b","[..]).as_slice(), b"]"]
            .concat()
            .into()
    }

    /// An event a line, and where each line ends.
    fn lines(&self) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = vec![];
        let mut ends = vec![];
        for event in &self.events {
            bytes.extend_from_slice(&event.line);
            bytes.push(b'\n');
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    /// What is lost with the events behind the first `delivered`, and what of that was
    /// not lost before.
    fn lost_after(&self, delivered: usize) -> (Dropped, Dropped) {
        let (mut lost, mut newly) = (Dropped::default(), Dropped::default());
        for event in &self.events[delivered..] {
            lost.add(event.counted);
            if !event.is_gap {
                newly.add(event.counted);
            }
        }
        (lost, newly)
    }
}

/// The way to a subscriber.
enum Connection {
    Http(Http),
    Tcp(Tcp),
}

impl Connection {
    fn new(destination: Destination, network: Network, pace: watch::Receiver<Pace>) -> Self {
        match destination {
            Destination::Http {
                port,
                authority,
                path,
                method,
            } => Self::Http(Http {
                network,
                pace,
                port,
                authority,
                path,
                method: match method {
                    HttpMethod::Post => Method::POST,
                    HttpMethod::Put => Method::PUT,
                },
                open: None,
            }),
            Destination::Tcp { port } => Self::Tcp(Tcp {
                network,
                pace,
                port,
                open: None,
            }),
        }
    }

    /// Delivers a batch, or what of it can be. How many of its events.
    async fn deliver(&mut self, batch: &Batch, pace: &mut watch::Receiver<Pace>) -> usize {
        match self {
            Self::Http(http) => {
                let accepted = within(LIMIT, pace, http.send(batch.json())).await;
                match accepted {
                    Some(true) => batch.events.len(),
                    Some(false) => 0,
                    None => {
                        // Its answer may still come, and would be taken for another's.
                        http.open = None;
                        0
                    }
                }
            }
            Self::Tcp(tcp) => {
                let (bytes, ends) = batch.lines();
                let mut written = 0;
                let all = within(LIMIT, pace, tcp.send(&bytes, &ends, &mut written)).await;
                if all.is_none() {
                    // A part of a line may be out.
                    tcp.open = None;
                }
                ends.partition_point(|end| *end <= written)
            }
        }
    }
}

/// A subscriber that listens for HTTP.
struct Http {
    network: Network,
    pace: watch::Receiver<Pace>,
    port: u16,
    authority: String,
    path: String,
    method: Method,
    open: Option<OpenHttp>,
}

struct OpenHttp {
    requests: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for OpenHttp {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http {
    /// Posts until it is answered. Whether it was accepted.
    async fn send(&mut self, body: Bytes) -> bool {
        loop {
            match self.attempt(body.clone()).await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::debug!(%error, port = self.port, "a subscriber was not reached");
                    self.open = None;
                    before_retry(&mut self.pace).await;
                }
            }
        }
    }

    async fn attempt(&mut self, body: Bytes) -> io::Result<bool> {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(self.path.as_str())
            .header(HOST, self.authority.as_str())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        let mut open = match self.open.take() {
            Some(open) if open.requests.is_ready() => open,
            _ => self.connect().await?,
        };
        let response = open.requests.send_request(request).await;
        let response = response.map_err(io::Error::other)?;
        let accepted = response.status().as_u16() < 400;
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        if body.collect().await.is_ok() && open.requests.ready().await.is_ok() {
            self.open = Some(open);
        }
        Ok(accepted)
    }

    async fn connect(&self) -> io::Result<OpenHttp> {
        let stream = self.network.connect(self.port).await?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // How it ends shows in the request.
            let _ = connection.await;
        });
        Ok(OpenHttp {
            requests,
            driver: driver.abort_handle(),
        })
    }
}

/// A subscriber that listens for lines.
struct Tcp {
    network: Network,
    pace: watch::Receiver<Pace>,
    port: u16,
    open: Option<TcpStream>,
}

impl Tcp {
    /// Writes all lines, and says meanwhile how far it is. A new connection begins
    /// with the line in which the last one broke.
    async fn send(&mut self, bytes: &[u8], ends: &[usize], written: &mut usize) {
        while let Err(error) = self.attempt(bytes, written).await {
            tracing::debug!(%error, port = self.port, "a subscriber was not reached");
            self.open = None;
            let whole = ends.partition_point(|end| *end <= *written);
            *written = whole.checked_sub(1).map_or(0, |last| ends[last]);
            before_retry(&mut self.pace).await;
        }
    }

    async fn attempt(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.network.connect(self.port).await?);
        }
        let Some(stream) = &mut self.open else {
            return Ok(());
        };
        while *written < bytes.len() {
            *written += stream.write(&bytes[*written..]).await?;
        }
        Ok(())
    }
}

/// Waits before another attempt; who is frozen cannot begin to listen.
async fn before_retry(pace: &mut watch::Receiver<Pace>) {
    tokio::time::sleep(RETRY_INTERVAL).await;
    // Without subscribers this task is about to end.
    let _ = pace.wait_for(|pace| *pace != Pace::Frozen).await;
}

/// Waits for `work`, for so long as the environment runs.
async fn within<T>(
    limit: Duration,
    pace: &mut watch::Receiver<Pace>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(work);
    let mut left = limit;
    loop {
        let frozen = *pace.borrow_and_update() == Pace::Frozen;
        let begun = Instant::now();
        tokio::select! {
            result = &mut work => return Some(result),
            () = tokio::time::sleep(left), if !frozen => return None,
            changed = pace.changed() => {
                if changed.is_err() {
                    // The subscribers are gone, and this task will be.
                    return None;
                }
                if !frozen {
                    left = left.saturating_sub(begun.elapsed());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_passes_while_the_environment_runs() {
        let pace = watch::Sender::new(Pace::Frozen);
        let mut receiver = pace.subscribe();
        let limit = Duration::from_millis(1);
        let work = tokio::time::sleep(20 * limit);
        assert_eq!(within(limit, &mut receiver, work).await, Some(()));
        for running in [Pace::Running, Pace::Ending] {
            pace.send_replace(running);
            let endless = std::future::pending::<()>();
            assert_eq!(within(limit, &mut receiver, endless).await, None);
        }
        let thawing = async {
            pace.send_replace(Pace::Frozen);
            tokio::time::sleep(20 * limit).await;
            pace.send_replace(Pace::Running);
            std::future::pending::<()>().await;
        };
        assert_eq!(within(limit, &mut receiver, thawing).await, None);
    }

    #[test]
    fn what_is_lost_of_a_batch_is_what_stands_behind_it() {
        let gap = Dropped {
            records: 7,
            bytes: 700,
        };
        let items = || {
            vec![
                Item::Event(b"12".to_vec()),
                Item::Gap(gap),
                Item::Event(b"345".to_vec()),
            ]
        };
        let batch = Batch::new(items(), true);
        let lines = batch.lines();
        assert_eq!(lines.1.len(), 3);
        assert!(lines.0.starts_with(b"12\n{") && lines.0.ends_with(b"}\n345\n"));
        assert!(batch.json().starts_with(b"[12,{") && batch.json().ends_with(b"},345]"));
        let dropped = |records, bytes| Dropped { records, bytes };
        for (delivered, lost, newly) in [
            (0, dropped(9, 705), dropped(2, 5)),
            (1, dropped(8, 703), dropped(1, 3)),
            (2, dropped(1, 3), dropped(1, 3)),
            (3, dropped(0, 0), dropped(0, 0)),
        ] {
            assert_eq!(batch.lost_after(delivered), (lost, newly), "{delivered}");
        }
        // Who has not asked for Lambda's events is not told.
        assert_eq!(Batch::new(items(), false).lines().0, b"12\n345\n");
    }
}
