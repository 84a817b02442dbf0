//! Function URLs: plain HTTP in, events of payload format 2.0, plain HTTP out.
//!
//! On AWS a function URL is a host name. Here it is one too,
//! `NAME.lambda-url.REGION.localhost`, which browsers and curl take to be this
//! machine, and a path for everybody else: `/lambda-url/NAME/…`. `NAME` is a function's,
//! or the ID of a URL that was configured. Host names have no capitals: browsers and curl
//! ask for `myfunction` where `MyFunction` was typed.

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
use tokio::task::JoinHandle;

use super::cors;
use super::exception::Exception;
use super::payload::answer::{Answer, MAX_PRELUDE, PRELUDE_END, WrongAnswer};
use super::payload::{Circumstances, Head, version2};
use super::reason::{Complaint, Reason};
use super::{Context, ResponseBody, full};
use crate::api::ResponsePart;
use crate::body;
use crate::configuration::Cors;
use crate::environment::InvocationAnswer;
use crate::model::{ACCOUNT_ID, FunctionName, FunctionReference, MAX_EVENT_BYTES};
use crate::pool::{PoolError, Throttle};

/// The content type of a streamed response that begins with its head.
const HTTP_INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";

/// Parts that may wait for a slow client before the function has to.
const PARTS: usize = 16;

/// The function that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    name: FunctionName,
    /// The path that is left for it.
    path: String,
    /// Capitals do not count.
    is_host: bool,
}

/// What a request is for, if it is one to a function URL.
pub(super) fn target(host: Option<&str>, path: &str) -> Option<Target> {
    const LABEL: &str = "lambda-url.";
    if let Some((name, rest)) = host.and_then(|host| host.split_once('.'))
        && let Some(label) = rest.get(..LABEL.len())
        && label.eq_ignore_ascii_case(LABEL)
    {
        return Some(Target {
            name: name.parse().ok()?,
            path: path.to_owned(),
            is_host: true,
        });
    }
    let rest = path.strip_prefix("/lambda-url/")?;
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    Some(Target {
        name: name.parse().ok()?,
        path: format!("/{rest}"),
        is_host: false,
    })
}

/// Answers a request to a function URL.
pub(super) async fn answer(
    context: &Context,
    target: Target,
    head: &Parts,
    body: &mut Incoming,
    client: SocketAddr,
) -> Result<Response<ResponseBody>, Exception> {
    let path = &target.path;
    let url = Url::of(context, &target);
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
    let request_id = invocation.request_id;
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
        path,
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
    let answered = match parts.recv().await {
        Some(first) => stream(first, parts, running).await,
        None => buffered(running).await.map(respond),
    };
    let mut response = answered.unwrap_or_else(|reason| {
        let answer = failed();
        context.complain(&Complaint {
            status: answer.status,
            at: "URL",
            function: reference,
            reason: &reason,
            request_id: Some(request_id),
        });
        respond(answer)
    });
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
    fn of(context: &Context, target: &Target) -> Self {
        let configured = |name: &FunctionName| context.control.function_url(name);
        let (name, found) = match configured(&target.name) {
            None if target.is_host => {
                let alike = context.functions.whatever_capitals(&target.name);
                let name = alike.unwrap_or_else(|| target.name.clone());
                let found = configured(&name);
                (name, found)
            }
            found => (target.name.clone(), found),
        };
        let Some((reference, record)) = found else {
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

/// What an invocation comes to that runs in a task of its own.
type Running = JoinHandle<Result<InvocationAnswer, PoolError>>;

/// The answer of an invocation, all of it at once.
async fn buffered(running: Running) -> Result<Answer, Reason> {
    match running.await.unwrap_or_else(|_| Err(PoolError::lost())) {
        Ok(result) => match Reason::of(&result) {
            None => Ok(Answer::of(&result.payload())?),
            Some(reason) => Err(reason),
        },
        // Its status says it all.
        Err(PoolError::Throttled(reason)) => Ok(throttled(reason)),
        Err(error) => Err(Reason::from(&error)),
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
    running: Running,
) -> Result<Response<ResponseBody>, Reason> {
    let kind = match first {
        ResponsePart::Begin(kind) => kind.unwrap_or_default(),
        ResponsePart::Chunk(_) => String::new(),
    };
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(PARTS);
    let (answer, rest) = if kind == HTTP_INTEGRATION {
        if let Some(both) = prelude(&mut parts).await {
            both?
        } else {
            // It broke off: how, the invocation knows.
            let answered = running.await.unwrap_or_else(|_| Err(PoolError::lost()));
            return Err(match answered {
                Ok(answer) => Reason::of(&answer).unwrap_or_else(|| WrongAnswer::NoHead.into()),
                Err(error) => Reason::from(&error),
            });
        }
    } else {
        (Answer::of(b"{\"statusCode\":200}")?, Bytes::new())
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
    Ok(response)
}

/// The head of a streamed response, and what of its body has come with it; `None` if the
/// response ends before its head does.
async fn prelude(
    parts: &mut mpsc::Receiver<ResponsePart>,
) -> Option<Result<(Answer, Bytes), WrongAnswer>> {
    let mut read = BytesMut::new();
    while let Some(part) = parts.recv().await {
        if let ResponsePart::Chunk(bytes) = part {
            read.extend_from_slice(&bytes);
        }
        let end = read
            .windows(PRELUDE_END.len())
            .position(|window| window == PRELUDE_END);
        if let Some(end) = end {
            let answer = Answer::of_prelude(&read[..end]);
            let rest = read.freeze().slice(end + PRELUDE_END.len()..);
            return Some(answer.map(|answer| (answer, rest)));
        }
        if read.len() > MAX_PRELUDE {
            return Some(Err(WrongAnswer::NoHead));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_hosts_or_paths() {
        let found = |host: Option<&str>, path: &str| {
            target(host, path).map(|target| (target.name.to_string(), target.path))
        };
        let expected = |path: &str| Some(("f".to_owned(), path.to_owned()));
        for host in [
            "f.lambda-url.us-east-1.localhost:9000",
            "f.Lambda-URL.us-east-1.localhost:9000",
        ] {
            assert_eq!(found(Some(host), "/a/b"), expected("/a/b"));
            assert!(target(Some(host), "/").is_some_and(|target| target.is_host));
        }
        let plain = Some("127.0.0.1:9000");
        assert_eq!(found(plain, "/lambda-url/f"), expected("/"));
        assert_eq!(found(plain, "/lambda-url/f/"), expected("/"));
        assert_eq!(found(plain, "/lambda-url/f/a%2Fb/"), expected("/a%2Fb/"));
        assert_eq!(found(plain, "/2015-03-31/functions/f/invocations"), None);
        assert_eq!(found(None, "/lambda-url/a.b/"), None);
    }
}
