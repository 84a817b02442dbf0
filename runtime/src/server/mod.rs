//! The endpoint that SDKs talk to: HTTP in, calls on the pools out.

mod control;
mod exception;
mod invoke;
mod path;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::exception::Exception;
use self::path::Operation;
use crate::control_plane::ControlPlane;
use crate::functions::Functions;
use crate::pool::Pools;

/// Connections at a time; what is above waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 1_024;

/// How long a client may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Lambda accepts request line and headers of 1 MB in all.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// The body of any answer.
type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// What requests are answered with.
#[derive(Debug)]
pub struct Context {
    /// The functions by name.
    pub functions: Arc<Functions>,
    /// What makes and changes them.
    pub control: Arc<ControlPlane>,
    /// Their environments.
    pub pools: Arc<Pools>,
}

/// A listening endpoint.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    context: Arc<Context>,
}

impl Server {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address is in use, or not of this host.
    pub async fn bind(address: SocketAddr, context: Context) -> std::io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            context: Arc::new(context),
        })
    }

    /// The address; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What requests are answered with.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Serves until it is dropped. Requests that have begun go on.
    pub async fn serve(&self) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, or reset in the queue.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let context = Arc::clone(&self.context);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let context = Arc::clone(&context);
                    async move { Ok::<_, Infallible>(answer(&context, request).await) }
                });
                // A client that breaks the protocol loses its connection.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_LIMIT)
                    .max_buf_size(MAX_HEAD_BYTES)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(permit);
            });
        }
    }
}

/// Answers one request.
async fn answer(context: &Context, request: Request<Incoming>) -> Response<ResponseBody> {
    match dispatch(context, request).await {
        Ok(response) => response,
        Err(exception) => refuse(&exception),
    }
}

async fn dispatch(
    context: &Context,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Exception> {
    let (head, body) = request.into_parts();
    let operation = path::operation(&head.method, head.uri.path(), head.uri.query())?;
    match operation {
        Operation::Invoke(reference) => {
            invoke::invoke(context, &reference, &head.headers, body).await
        }
        Operation::Control(operation) => control::answer(context, operation, body).await,
        Operation::Health => Ok(Response::new(full(Bytes::from_static(b"ok\n")))),
    }
}

fn refuse(exception: &Exception) -> Response<ResponseBody> {
    let mut response = Response::new(full(exception.body.to_string().into()));
    *response.status_mut() = exception.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        HeaderName::from_static("x-amzn-errortype"),
        HeaderValue::from_static(exception.name),
    );
    if let Ok(id) = HeaderValue::try_from(crate::model::RequestId::random().to_string()) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    if let Some(seconds) = exception.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn full(bytes: Bytes) -> ResponseBody {
    Full::new(bytes).boxed_unsync()
}
