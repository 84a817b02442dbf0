//! The endpoint that SDKs talk to: HTTP in, calls on the pools out.

mod call;
pub(crate) mod connections;
mod control;
mod cors;
mod exception;
pub(crate) mod http_api;
mod invoke;
mod metrics;
mod path;
pub(crate) mod payload;
mod reason;
mod silent;
mod slow_reader;
mod stream;
mod url;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use self::connections::Connections;
use self::exception::Exception;
use self::path::Operation;
use self::reason::Complaint;
use self::slow_reader::Patient;
use crate::asynchronous::EventQueue;
use crate::body::discard;
use crate::control_plane::ControlPlane;
use crate::functions::Functions;
use crate::pool::Pools;
use crate::telemetry::Sink;

/// Connections at a time; what is above waits in the kernel's queue.
const MAX_CONNECTIONS: u16 = 1_024;

/// The body of any answer.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// What requests are answered with.
#[derive(Debug)]
pub struct Context {
    /// The functions by name.
    pub functions: Arc<Functions>,
    /// What makes and changes them.
    pub control: Arc<ControlPlane>,
    /// Their environments.
    pub pools: Arc<Pools>,
    /// Their asynchronous events.
    pub events: Arc<EventQueue>,
    /// Where is said what callers do not learn.
    pub sink: Arc<dyn Sink>,
}

impl Context {
    /// Says why an answer is an error.
    fn complain(&self, complaint: &Complaint<'_>) {
        self.sink.notice(&complaint.to_string());
    }
}

/// A listening endpoint.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    context: Arc<Context>,
    connections: Connections,
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
            connections: Connections::new(MAX_CONNECTIONS),
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
        while let Some(permit) = self.connections.permit().await {
            let Ok((stream, client)) = self.listener.accept().await else {
                // Out of descriptors, or reset in the queue.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            self.take(permit, stream, client);
        }
    }

    /// The next connection, when there is a place for it.
    async fn next(&self) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
        let permit = self.connections.permit().await?;
        let (stream, client) = self.listener.accept().await.ok()?;
        Some((permit, stream, client))
    }

    fn take(&self, permit: OwnedSemaphorePermit, stream: TcpStream, client: SocketAddr) {
        let stream = Patient::accepted(stream);
        let context = Arc::clone(&self.context);
        self.connections.spawn(permit, stream, move |request| {
            let context = Arc::clone(&context);
            async move { answer(&context, request, client).await }
        });
    }

    /// Takes no more connections and requests; what there is goes on, what waits in
    /// the kernel's queue too: its clients think that they are connected.
    pub(crate) async fn close(self) -> Connections {
        while let Ok(Some((permit, stream, client))) =
            tokio::time::timeout(Duration::ZERO, self.next()).await
        {
            self.take(permit, stream, client);
        }
        self.connections.finish();
        self.connections
    }
}

/// Answers one request.
async fn answer(
    context: &Context,
    request: Request<Incoming>,
    client: SocketAddr,
) -> Response<ResponseBody> {
    let (head, mut body) = request.into_parts();
    let response = dispatch(context, &head, &mut body, client).await;
    discard(&mut body).await;
    response.unwrap_or_else(|exception| refuse(&exception))
}

async fn dispatch(
    context: &Context,
    head: &Parts,
    body: &mut Incoming,
    client: SocketAddr,
) -> Result<Response<ResponseBody>, Exception> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    if let Some(target) = url::target(host, head.uri.path()) {
        return url::answer(context, target, head, body, client).await;
    }
    let operation = path::operation(&head.method, head.uri.path(), head.uri.query())?;
    match operation {
        Operation::Invoke(reference) => {
            invoke::invoke(context, &reference, &head.headers, body).await
        }
        Operation::Metrics => Ok(metrics::metrics(context)),
        Operation::InvokeWithResponseStream(reference) => {
            stream::invoke(context, &reference, &head.headers, body).await
        }
        Operation::Control(operation) => control::answer(context, operation, host, body).await,
        Operation::Archive(name) => control::archive(context, name).await,
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

pub(crate) fn full(bytes: Bytes) -> ResponseBody {
    Full::new(bytes).boxed_unsync()
}
