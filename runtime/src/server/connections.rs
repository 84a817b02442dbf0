//! HTTP connections, with an end to them: the requests that they have are
//! answered, and then they are closed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::ResponseBody;
use super::silent::Silent;

/// How long a client may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Lambda accepts request line and headers of 1 MB in all.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// How long a connection without a request stays when it shall end: one may be on its
/// way, from a client that could not know.
const ON_THE_WAY: Duration = Duration::from_millis(200);

/// How long one may take to make room until another one is asked to.
const ROOM_LIMIT: Duration = Duration::from_millis(100);

/// Connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    most: u32,
    permits: Arc<Semaphore>,
    silent: Arc<Silent>,
    finishing: watch::Sender<bool>,
}

impl Connections {
    /// At most so many at a time.
    pub(crate) fn new(most: u16) -> Self {
        Self {
            most: most.into(),
            permits: Arc::new(Semaphore::new(most.into())),
            silent: Arc::default(),
            finishing: watch::Sender::new(false),
        }
    }

    /// Waits until there may be another. What is above the limit waits in the
    /// kernel's queue, while those who say nothing make room one after the other.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let mut permit = pin!(Arc::clone(&self.permits).acquire_owned());
        loop {
            tokio::select! {
                biased;
                permit = permit.as_mut() => return permit.ok(),
                () = self.silent.make_room() => {}
            }
            // Most do so at once.
            if let Ok(permit) = tokio::time::timeout(ROOM_LIMIT, permit.as_mut()).await {
                return permit.ok();
            }
        }
    }

    /// Serves a connection in the background.
    pub(crate) fn spawn<S, F, A>(&self, permit: OwnedSemaphorePermit, stream: S, answer: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(Request<Incoming>) -> A + Send + 'static,
        A: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let mut finishing = self.finishing.subscribe();
        let last = finishing.clone();
        let presence = Arc::new(self.silent.enter());
        tokio::spawn(async move {
            let asking = Arc::clone(&presence);
            let service = service_fn(move |request| {
                asking.asked();
                let presence = Arc::clone(&asking);
                let (answer, last) = (answer(request), last.clone());
                async move {
                    let mut response = answer.await;
                    presence.answered();
                    if *last.borrow() {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let mut connection = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_LIMIT)
                    .max_buf_size(MAX_HEAD_BYTES)
                    .serve_connection(TokioIo::new(stream), service)
            );
            // A client that breaks the protocol loses its connection.
            tokio::select! {
                biased;
                _ = connection.as_mut() => {}
                () = presence.room_wanted() => {
                    // What has been asked is answered to the end.
                    if presence.has_asked() {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
                () = async { let _ = finishing.wait_for(|finishing| *finishing).await; } => {
                    tokio::select! {
                        _ = connection.as_mut() => {}
                        () = tokio::time::sleep(ON_THE_WAY) => {
                            connection.as_mut().graceful_shutdown();
                            let _ = connection.await;
                        }
                    }
                }
            }
            drop(permit);
        });
    }

    /// The requests that are there, or on their way, are the last.
    pub(crate) fn finish(&self) {
        self.finishing.send_replace(true);
    }

    /// Waits until all connections have ended.
    pub(crate) async fn ended(&self) {
        let _ = self.permits.acquire_many(self.most).await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    use super::*;
    use crate::body;
    use crate::server::full;

    /// A connection that is served, from the client's side. The answer says whether
    /// the body was read.
    async fn connected(connections: &Connections) -> DuplexStream {
        let (client, stream) = tokio::io::duplex(1 << 16);
        let permit = connections.permit().await.unwrap();
        connections.spawn(permit, stream, |request| async {
            let read = body::read(&mut request.into_body(), 1 << 20).await;
            let text = read.map_or_else(|error| error.to_string(), |_| "read".to_owned());
            Response::new(full(Bytes::from(text)))
        });
        client
    }

    /// Sends `first`, and then a byte every ten seconds. What is answered, and when.
    async fn dawdle(first: &str) -> (String, Duration) {
        let connections = Connections::new(1);
        let (mut answers, mut client) = tokio::io::split(connected(&connections).await);
        let begun = Instant::now();
        let mut answer = Vec::new();
        client.write_all(first.as_bytes()).await.unwrap();
        tokio::select! {
            read = answers.read_to_end(&mut answer) => { read.unwrap(); }
            () = async { loop {
                tokio::time::sleep(Duration::from_secs(10)).await;
                let _ = client.write_all(b"x").await;
            } } => {}
        }
        let elapsed = begun.elapsed();
        // There is a place for another.
        drop(connections.permit().await.unwrap());
        (String::from_utf8(answer).unwrap(), elapsed)
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_disconnected() {
        let connections = Connections::new(1);
        let mut client = connected(&connections).await;
        let begun = Instant::now();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "");
        assert!(begun.elapsed() <= HEAD_LIMIT * 2, "{:?}", begun.elapsed());
        drop(connections.permit().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn who_dawdles_over_a_head_is_disconnected() {
        let (answer, elapsed) = dawdle("GET / HTTP/1.1\r\nx: ").await;
        assert!(elapsed <= HEAD_LIMIT * 2, "{elapsed:?}: {answer}");
        assert!(!answer.contains("200 OK"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_dawdles_over_a_body_is_refused() {
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
        let (answer, elapsed) = dawdle(head).await;
        assert!(elapsed <= Duration::from_secs(60), "{elapsed:?}: {answer}");
        assert!(answer.contains("came too slowly"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_steadily_is_read() {
        let connections = Connections::new(1);
        let mut client = connected(&connections).await;
        let head =
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..100 {
            client.write_all(&[b'x'; 2_000]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("read"), "{answer}");
    }

    /// Sends a request, and waits for its answer.
    async fn ask(client: &mut DuplexStream) -> String {
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx";
        client.write_all(request).await.unwrap();
        let mut answer = [0; 1024];
        let length = client.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// Whether a client has lost its connection.
    async fn is_disconnected(client: &mut DuplexStream) -> bool {
        let read = tokio::time::timeout(Duration::ZERO, client.read(&mut [0; 1])).await;
        matches!(read, Ok(Ok(0)))
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_limit_wait_while_others_are_answered() {
        let connections = Connections::new(2);
        let mut clients = [connected(&connections).await, connected(&connections).await];
        for client in &mut clients {
            let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
            client.write_all(head).await.unwrap();
        }
        let third = tokio::time::timeout(Duration::from_secs(10), connections.permit()).await;
        assert!(third.is_err());
        drop(clients);
        drop(connections.permit().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_silent_for_longest_makes_room() {
        for words in ["", "GET / HTTP/1.1\r\nx: "] {
            let connections = Connections::new(3);
            let mut clients = vec![];
            for _ in 0..3 {
                clients.push(connected(&connections).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            clients[1].write_all(words.as_bytes()).await.unwrap();
            // The first has something to say, and is silent from then on.
            assert!(ask(&mut clients[0]).await.contains("200 OK"));
            let begun = Instant::now();
            let permit = connections.permit().await.unwrap();
            assert!(begun.elapsed() < HEAD_LIMIT / 10, "{:?}", begun.elapsed());
            assert!(is_disconnected(&mut clients[1]).await, "{words}");
            assert!(!is_disconnected(&mut clients[0]).await, "{words}");
            assert!(!is_disconnected(&mut clients[2]).await, "{words}");
            // One place for one who makes room.
            assert!(ask(&mut clients[0]).await.contains("200 OK"));
            assert!(ask(&mut clients[2]).await.contains("200 OK"));
            drop(permit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_its_answer_makes_room_too() {
        let connections = Connections::new(1);
        let mut client = connected(&connections).await;
        assert!(ask(&mut client).await.contains("200 OK"));
        let begun = Instant::now();
        drop(connections.permit().await.unwrap());
        assert!(begun.elapsed() < HEAD_LIMIT / 10, "{:?}", begun.elapsed());
        assert!(is_disconnected(&mut client).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_makes_room_at_once() {
        let connections = Connections::new(1);
        let mut client = connected(&connections).await;
        let moment = Duration::from_millis(500);
        let second = tokio::time::timeout(moment, connections.permit()).await;
        assert!(second.is_err());
        assert!(ask(&mut client).await.contains("200 OK"));
    }
}
