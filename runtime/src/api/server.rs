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
                // client that dawdles, over a request or over reading an answer,
                // holds up its own environment only, whose end ends this.
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::api::NextEvent;
    use crate::model::RequestId;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    async fn ask(client: &mut TcpStream, path: &str) {
        let request = format!("GET /2018-06-01/{path} HTTP/1.1\r\nhost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
    }

    async fn answer(client: &mut TcpStream) -> String {
        let mut buffer = [0; 4_096];
        let length = client.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_waits_for_a_day_and_says_nothing_for_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mut calls) = mpsc::channel(1);
        let server = tokio::spawn(serve(listener, sender));
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client, "runtime/invocation/next").await;
        let Some(ApiCall::Next(waiting)) = calls.recv().await else {
            panic!("no call for an event");
        };
        tokio::time::sleep(DAY).await;
        let event = NextEvent {
            request_id: RequestId::random(),
            invocation_id: "1".to_owned(),
            deadline: SystemTime::now(),
            function_arn: "arn".to_owned(),
            trace_id: "trace".to_owned(),
            client_context: None,
            cognito_identity: None,
            payload: Bytes::from_static(b"{}"),
        };
        waiting.send(Ok(Arc::new(event))).unwrap();
        let text = answer(&mut client).await;
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        // Its function computes, and answers on the same connection.
        tokio::time::sleep(DAY).await;
        ask(&mut client, "ping").await;
        let text = answer(&mut client).await;
        assert!(text.ends_with("pong"), "{text}");
        server.abort();
    }
}
