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

/// How long a client may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Lambda accepts request line and headers of 1 MB in all.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// How long a connection without a request stays when it shall end: one may be on its
/// way, from a client that could not know.
const ON_THE_WAY: Duration = Duration::from_millis(200);

/// Connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    most: u32,
    permits: Arc<Semaphore>,
    finishing: watch::Sender<bool>,
}

impl Connections {
    /// At most so many at a time.
    pub(crate) fn new(most: u16) -> Self {
        Self {
            most: most.into(),
            permits: Arc::new(Semaphore::new(most.into())),
            finishing: watch::Sender::new(false),
        }
    }

    /// Waits until there may be another. What is above the limit waits in the
    /// kernel's queue.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
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
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (answer, last) = (answer(request), last.clone());
                async move {
                    let mut response = answer.await;
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
                _ = connection.as_mut() => {}
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
