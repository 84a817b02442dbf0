//! HTTP and REST APIs in front of functions: the routes of a configuration file, all
//! at one address of their own, as `sam local start-api` has them.

mod failure;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use self::failure::{Failure, answer_of};
use super::connections::Connections;
use super::payload::answer::Answer;
use super::payload::version1::Form;
use super::payload::{Circumstances, Head, version1, version2};
use super::reason::{Complaint, Reason};
use super::slow_reader::Patient;
use super::{Context, MAX_CONNECTIONS, ResponseBody, cors, full};
use crate::body::{self, BodyError};
use crate::configuration::{Api, ApiKind, Taken};
use crate::environment::Invocation;
use crate::model::{ACCOUNT_ID, MAX_EVENT_BYTES};
use crate::pool::PoolError;

/// `apiId`, and the first label of a host name on AWS.
const API_ID: &str = "local";

/// How long a function may take, which is less than Lambda's own limit.
const HTTP_LIMIT: Duration = Duration::from_secs(30);
const REST_LIMIT: Duration = Duration::from_secs(29);

/// The APIs of a service.
#[derive(Debug)]
pub(crate) struct HttpApi {
    context: Arc<Context>,
    api: RwLock<Arc<Api>>,
    connections: Connections,
    accepting: Mutex<Option<AbortHandle>>,
}

impl HttpApi {
    /// Without routes, and not listening.
    pub(crate) fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self {
            context,
            api: RwLock::default(),
            connections: Connections::new(MAX_CONNECTIONS),
            accepting: Mutex::new(None),
        })
    }

    /// Serves these routes from now on.
    pub(crate) fn set(&self, api: Api) {
        *self.api.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(api);
    }

    /// Whether it listens.
    pub(crate) fn listens(&self) -> bool {
        self.accepting().is_some()
    }

    /// Listens, and returns where.
    ///
    /// # Errors
    /// The address is in use, or not of this host.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        address: SocketAddr,
    ) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let http_api = Arc::clone(self);
        let task = tokio::spawn(async move { http_api.accept(&listener).await });
        *self.accepting() = Some(task.abort_handle());
        Ok(address)
    }

    /// Takes no more connections and requests; what there is goes on until
    /// [`HttpApi::ended`].
    pub(crate) fn close(&self) {
        if let Some(task) = self.accepting().take() {
            task.abort();
        }
        self.connections.finish();
    }

    /// Waits until all connections have ended.
    pub(crate) async fn ended(&self) {
        self.connections.ended().await;
    }

    fn accepting(&self) -> std::sync::MutexGuard<'_, Option<AbortHandle>> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Some(permit) = self.connections.permit().await {
            let Ok((stream, client)) = listener.accept().await else {
                // Out of descriptors, or reset in the queue.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let stream = Patient::accepted(stream);
            let http_api = Arc::clone(self);
            self.connections.spawn(permit, stream, move |request| {
                let http_api = Arc::clone(&http_api);
                async move { http_api.answer(request, client).await }
            });
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Response<ResponseBody> {
        let (head, mut body) = request.into_parts();
        let response = self.respond(&head, &mut body, client).await;
        body::discard(&mut body).await;
        response
    }

    async fn respond(
        &self,
        head: &Parts,
        body: &mut Incoming,
        client: SocketAddr,
    ) -> Response<ResponseBody> {
        let api = Arc::clone(&self.api.read().unwrap_or_else(PoisonError::into_inner));
        let taken = api.take(head.method.as_str(), head.uri.path());
        let is_rest = if let Some(taken) = &taken {
            taken.route.kind == ApiKind::Rest
        } else {
            let mut kinds = api.routes.iter().map(|route| route.kind);
            !api.routes.is_empty() && kinds.all(|kind| kind == ApiKind::Rest)
        };
        let cors = api.cors.as_ref().filter(|_| !is_rest);
        if let Some(cors) = cors
            && cors::is_preflight(&head.method, &head.headers)
        {
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = cors::preflight(cors, &head.headers);
            return response;
        }
        let answer = match taken {
            None => answer_of(Failure::NoRoute, is_rest),
            Some(taken) => {
                let invocation = self.context.invocation(&head.headers);
                let request_id = invocation.request_id;
                let invoked = self.invoke(&taken, head, body, client, invocation).await;
                invoked.unwrap_or_else(|(failure, reason)| {
                    let answer = answer_of(failure, is_rest);
                    self.context.complain(&Complaint {
                        status: answer.status,
                        at: &taken.route.key.to_string(),
                        function: &taken.route.function,
                        reason: &reason,
                        request_id: failure.is_of_invocation().then_some(request_id),
                    });
                    answer
                })
            }
        };
        let mut response = Response::new(full(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        if let Some(cors) = cors {
            cors::replace(cors, &head.headers, response.headers_mut());
        }
        response
    }

    async fn invoke(
        &self,
        taken: &Taken<'_>,
        head: &Parts,
        body: &mut Incoming,
        client: SocketAddr,
        mut invocation: Invocation,
    ) -> Result<Answer, (Failure, Reason)> {
        let route = taken.route;
        let too_large = || (Failure::TooLarge, Reason::too_large());
        let body = body::read(body, MAX_EVENT_BYTES).await;
        let body = body.map_err(|error| match error {
            BodyError::TooLarge => too_large(),
            other => (Failure::TooLarge, Reason::broken(&other)),
        })?;
        let version = self.context.functions.find(&route.function);
        let version = version.ok_or_else(|| (Failure::NoFunction, Reason::no_function()))?;
        let qualifier = &route.function.qualifier;
        invocation.qualifier.clone_from(qualifier);
        let event = event(taken, head, &body, client, &invocation);
        if event.len() > MAX_EVENT_BYTES {
            return Err(too_large());
        }
        invocation.payload = event.into();
        let limit = match route.kind {
            ApiKind::Rest => REST_LIMIT,
            ApiKind::Http | ApiKind::HttpVersion1 => HTTP_LIMIT,
        };
        // The invocation goes on when nobody waits for it any more.
        let running = tokio::time::timeout(limit, self.context.pools.answer(&version, invocation));
        let result = match running.await {
            Err(_) => return Err((Failure::TimedOut, Reason::timed_out(limit))),
            Ok(Err(error)) => {
                let failure = match error {
                    PoolError::Throttled(_) => Failure::Throttled,
                    _ => Failure::Function,
                };
                return Err((failure, Reason::from(&error)));
            }
            Ok(Ok(result)) => result,
        };
        if let Some(reason) = Reason::of(&result) {
            return Err((Failure::Function, reason));
        }
        let payload = result.payload();
        let answer = match route.kind {
            ApiKind::Http => Answer::of(&payload),
            ApiKind::HttpVersion1 | ApiKind::Rest => Answer::of_version1(&payload),
        };
        answer.map_err(|wrong| (Failure::Function, wrong.into()))
    }
}

/// The event of a request, as JSON.
fn event(
    taken: &Taken<'_>,
    head: &Parts,
    body: &[u8],
    client: SocketAddr,
    invocation: &Invocation,
) -> String {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let key = &taken.route.key;
    let route_key = key.to_string();
    let now = Circumstances {
        account: ACCOUNT_ID,
        api_id: API_ID,
        host: host.unwrap_or_default(),
        source_ip: client.ip().to_string(),
        request_id: invocation.request_id.to_string(),
        trace_id: &invocation.trace_id.to_string(),
        at: chrono::Utc::now(),
        route_key: &route_key,
        parameters: &taken.parameters,
    };
    let request = Head {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        version: head.version,
        headers: &head.headers,
    };
    let resource = key.path();
    let form = |is_rest| Form {
        resource: &resource,
        is_rest,
    };
    match taken.route.kind {
        ApiKind::Http => version2::event(&request, body, &now),
        ApiKind::HttpVersion1 => version1::event(&request, body, &now, form(false)),
        ApiKind::Rest => version1::event(&request, body, &now, form(true)),
    }
    .to_string()
}
