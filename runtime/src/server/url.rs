//! Function URLs: plain HTTP in, events of payload format 2.0, plain HTTP out.
//!
//! On AWS a function URL is a host name. Here it is one too,
//! `NAME.lambda-url.REGION.localhost`, which browsers and curl take to be this
//! machine, and a path for everybody else: `/lambda-url/NAME/…`. `NAME` is a function's,
//! or the ID of a URL that was configured.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use tokio::sync::mpsc;

use super::cors;
use super::exception::Exception;
use super::payload::answer::{Answer, PRELUDE_END};
use super::payload::{Circumstances, Head, version2};
use super::{Context, ResponseBody, full};
use crate::api::ResponsePart;
use crate::body;
use crate::configuration::Cors;
use crate::model::{ACCOUNT_ID, FunctionName, FunctionReference, MAX_EVENT_BYTES};
use crate::pool::{PoolError, Throttle};

/// The content type of a streamed response that begins with its head.
const HTTP_INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";

/// Parts that may wait for a slow client before the function has to.
const PARTS: usize = 16;

/// The function that a request is for, and the path that is left for it.
pub(super) fn target(host: Option<&str>, path: &str) -> Option<(FunctionName, String)> {
    if let Some((name, rest)) = host.and_then(|host| host.split_once('.'))
        && rest.starts_with("lambda-url.")
    {
        return Some((name.parse().ok()?, path.to_owned()));
    }
    let rest = path.strip_prefix("/lambda-url/")?;
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    Some((name.parse().ok()?, format!("/{rest}")))
}

/// Answers a request to a function URL.
pub(super) async fn answer(
    context: &Context,
    (name, path): (FunctionName, String),
    head: &Parts,
    body: &mut Incoming,
    client: SocketAddr,
) -> Result<Response<ResponseBody>, Exception> {
    let url = Url::of(context, name);
    let reference = &url.reference;
    let Some(version) = context.functions.find(reference) else {
        let mut response = Response::new(full(Bytes::from_static(b"{\"Message\":null}")));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return Ok(response);
    };
    if let Some(cors) = &url.cors
        && cors::is_preflight(&head.method, &head.headers)
    {
        let mut response = Response::new(full(Bytes::new()));
        *response.headers_mut() = cors::preflight(cors, &head.headers);
        return Ok(response);
    }
    let body = body::read(body, MAX_EVENT_BYTES)
        .await
        .map_err(|_| Exception::too_large(MAX_EVENT_BYTES))?;
    let mut invocation = context.invocation(&head.headers);
    invocation.qualifier.clone_from(&reference.qualifier);
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let now = Circumstances {
        account: ACCOUNT_ID,
        api_id: reference.name.as_str(),
        host: host.unwrap_or_default(),
        source_ip: client.ip().to_string(),
        request_id: invocation.request_id.to_string(),
        trace_id: &invocation.trace_id.to_string(),
        at: chrono::Utc::now(),
        route_key: "$default",
        parameters: &[],
    };
    let request = Head {
        method: &head.method,
        path: &path,
        query: head.uri.query().unwrap_or_default(),
        version: head.version,
        headers: &head.headers,
    };
    let event = version2::event(&request, &body, &now).to_string();
    if event.len() > MAX_EVENT_BYTES {
        return Err(Exception::too_large(MAX_EVENT_BYTES));
    }
    invocation.payload = event.into();
    let (sender, mut parts) = mpsc::channel(PARTS);
    // A buffered URL gets the whole response at once, as `Invoke` does.
    invocation.stream = Some(sender).filter(|_| url.streams);
    let pools = Arc::clone(&context.pools);
    let running = tokio::spawn(async move { pools.answer(&version, invocation).await });
    let mut response = if let Some(first) = parts.recv().await {
        stream(first, parts).await
    } else {
        let result = running.await.unwrap_or_else(|_| Err(PoolError::lost()));
        respond(match result {
            Ok(result) if result.function_error().is_none() => {
                Answer::of(&result.payload()).unwrap_or_else(failed)
            }
            Err(PoolError::Throttled(reason)) => throttled(reason),
            _ => failed(),
        })
    };
    if let Some(cors) = &url.cors {
        cors::add(cors, &head.headers, response.headers_mut());
    }
    Ok(response)
}

/// Where a URL leads, and how. A function without a configured URL has one too,
/// which takes what comes.
struct Url {
    reference: FunctionReference,
    streams: bool,
    cors: Option<Cors>,
}

impl Url {
    fn of(context: &Context, name: FunctionName) -> Self {
        let Some((reference, record)) = context.control.function_url(&name) else {
            return Self {
                reference: FunctionReference {
                    name,
                    qualifier: None,
                },
                streams: true,
                cors: None,
            };
        };
        let cors = record.cors.as_ref().and_then(serde_json::Value::as_object);
        Self {
            reference,
            streams: record.invoke_mode == "RESPONSE_STREAM",
            // What an SDK has set and this does not know has no effect.
            cors: cors.and_then(|cors| Cors::from_members(cors).ok()),
        }
    }
}

/// All that a caller learns of a failure.
fn failed() -> Answer {
    Answer::plain(
        StatusCode::BAD_GATEWAY,
        "text/plain",
        "Internal Server Error",
    )
}

fn throttled(_reason: Throttle) -> Answer {
    Answer {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

fn respond(answer: Answer) -> Response<ResponseBody> {
    let mut response = Response::new(full(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// A response whose parts come from the function as it makes them.
async fn stream(
    first: ResponsePart,
    mut parts: mpsc::Receiver<ResponsePart>,
) -> Response<ResponseBody> {
    let kind = match first {
        ResponsePart::Begin(kind) => kind.unwrap_or_default(),
        ResponsePart::Chunk(_) => String::new(),
    };
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(PARTS);
    let (answer, rest) = if kind == HTTP_INTEGRATION {
        match prelude(&mut parts).await {
            Some(both) => both,
            None => return respond(failed()),
        }
    } else {
        let head = Answer::of(b"{\"statusCode\":200}").unwrap_or_else(failed);
        (head, Bytes::new())
    };
    let mut response = respond(answer);
    *response.body_mut() = body.boxed_unsync();
    tokio::spawn(async move {
        let mut next = Some(rest).filter(|rest| !rest.is_empty());
        loop {
            if let Some(bytes) = next.take()
                && sender.send_data(bytes).await.is_err()
            {
                return;
            }
            match parts.recv().await {
                Some(ResponsePart::Chunk(bytes)) => next = Some(bytes),
                Some(ResponsePart::Begin(_)) => {}
                None => return,
            }
        }
    });
    response
}

/// The head of a streamed response, and what of its body has come with it.
async fn prelude(parts: &mut mpsc::Receiver<ResponsePart>) -> Option<(Answer, Bytes)> {
    let mut read = BytesMut::new();
    while let Some(part) = parts.recv().await {
        if let ResponsePart::Chunk(bytes) = part {
            read.extend_from_slice(&bytes);
        }
        let end = read
            .windows(PRELUDE_END.len())
            .position(|window| window == PRELUDE_END);
        if let Some(end) = end {
            let answer = Answer::of_prelude(&read[..end])?;
            let rest = read.freeze().slice(end + PRELUDE_END.len()..);
            return Some((answer, rest));
        }
        if read.len() > MAX_PRELUDE {
            return None;
        }
    }
    None
}

/// Bytes in which a streamed response's head has to end.
const MAX_PRELUDE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_hosts_or_paths() {
        let found = |host: Option<&str>, path: &str| {
            target(host, path).map(|(name, path)| (name.to_string(), path))
        };
        let expected = |path: &str| Some(("f".to_owned(), path.to_owned()));
        let host = Some("f.lambda-url.us-east-1.localhost:9000");
        assert_eq!(found(host, "/a/b"), expected("/a/b"));
        let plain = Some("127.0.0.1:9000");
        assert_eq!(found(plain, "/lambda-url/f"), expected("/"));
        assert_eq!(found(plain, "/lambda-url/f/"), expected("/"));
        assert_eq!(found(plain, "/lambda-url/f/a%2Fb/"), expected("/a%2Fb/"));
        assert_eq!(found(plain, "/2015-03-31/functions/f/invocations"), None);
        assert_eq!(found(None, "/lambda-url/a.b/"), None);
    }
}
