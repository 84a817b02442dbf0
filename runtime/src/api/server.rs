//! Serves the interfaces of one environment on its listening socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::runtime::ApiCall;
use super::{extensions, runtime, subscriptions};
use crate::body::discard;

/// Connections of one environment at a time. Clients keep one or two; what is
/// above waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// Runtimes send an X-Ray error cause of up to 1 MiB as a request header.
const MAX_HEAD_BYTES: usize = 2 * 1024 * 1024;

/// Accepts connections until the task is dropped, which ends all of them.
pub(crate) async fn serve(listener: TcpListener, calls: mpsc::Sender<ApiCall>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or a connection that was reset in the queue.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Small answers must not wait for the acknowledgement of others.
        let _ = stream.set_nodelay(true);
        let calls = calls.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let calls = calls.clone();
                async move { Ok::<_, Infallible>(handle(&calls, request).await) }
            });
            // A client that breaks the protocol loses its connection.
            let _ = http1::Builder::new()
                // hyper's limit would also end connections that idle between a
                // `next` and the answer to it, which may take 15 minutes. A
                // client that dawdles holds up its own environment only.
                .header_read_timeout(None)
                // A client may close its side once its request is complete.
                .half_close(true)
                .max_buf_size(MAX_HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

/// Each interface has its version in front.
async fn handle(
    calls: &mpsc::Sender<ApiCall>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path();
    let response = if path.starts_with(extensions::PREFIX) {
        extensions::handle(calls, &head, &mut body).await
    } else if let Some(api) = subscriptions::api(&head.method, path) {
        subscriptions::handle(calls, api, &head.headers, &mut body).await
    } else {
        runtime::handle(calls, &head, &mut body).await
    };
    discard(&mut body).await;
    response
}
