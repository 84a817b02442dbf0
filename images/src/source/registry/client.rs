//! Requests to one registry about one image.

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::super::http::is_loopback;
use super::auth::Authorization;
use super::credentials::CredentialFiles;
use super::retry::Pace;
use super::transport::Transport;
use super::{DOCUMENTS, Settings, refusal, unreachable};
use crate::error::{Error, Result};
use crate::reference::RegistryReference;

/// Most times that one request is answered with new credentials.
const LOGINS_MAX: usize = 2;

pub(super) struct Client {
    transport: Transport,
    reference: RegistryReference,
    base: Url,
    authorization: Authorization,
}

impl Client {
    /// Finds out how to speak to the registry, which for hosts on this machine
    /// may be without TLS, as for Docker.
    pub(super) async fn connect(
        reference: RegistryReference,
        credentials: CredentialFiles,
        settings: Settings,
    ) -> Result<Self> {
        let host = match reference.host.as_str() {
            "docker.io" => "registry-1.docker.io".to_owned(),
            host => host.to_owned(),
        };
        let address = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|error| unreachable(&host, error))
        };
        let loopback = is_loopback(reference.host_name());
        let mut client = Self {
            transport: Transport::new(&reference.host, loopback, settings)?,
            base: address("https")?,
            authorization: Authorization::new(credentials, reference.clone()),
            reference,
        };
        if loopback {
            let probe = client.transport.http().get(client.base.clone()).send();
            let connect = client.transport.settings().connect;
            let answered = tokio::time::timeout(connect, probe).await;
            match answered {
                // TLS with a certificate that is not trusted is still TLS.
                Ok(Err(error)) if refusal::certificate_error(&error).is_none() => {
                    client.base = address("http")?;
                }
                _ => {}
            }
        }
        Ok(client)
    }

    pub(super) fn reference(&self) -> &RegistryReference {
        &self.reference
    }

    pub(super) fn settings(&self) -> &Settings {
        self.transport.settings()
    }

    /// Asks for a manifest or index.
    pub(super) async fn manifest(&self, path: &str) -> Result<Response> {
        self.about_manifest(Method::GET, path).await
    }

    /// Asks for what the answer to [`Self::manifest`] would say of it, without it.
    pub(super) async fn head_of_manifest(&self, path: &str) -> Result<Response> {
        self.about_manifest(Method::HEAD, path).await
    }

    async fn about_manifest(&self, method: Method, path: &str) -> Result<Response> {
        let accept = DOCUMENTS.join(", ");
        self.request(method, path, |request| request.header(ACCEPT, &accept))
            .await
    }

    /// Asks for a blob, or for bytes `first` to `last` of it. The answer may be
    /// the whole blob all the same, or that there are no such bytes.
    pub(super) async fn blob(&self, path: &str, range: Option<(u64, u64)>) -> Result<Response> {
        self.request(Method::GET, path, |request| match range {
            Some((first, last)) => request.header(RANGE, format!("bytes={first}-{last}")),
            None => request,
        })
        .await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        adapt: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let host = &self.reference.host;
        let address = format!("{}{}/{path}", self.base, self.reference.repository);
        let address = Url::parse(&address).map_err(|error| unreachable(host, error))?;
        for _ in 0..=LOGINS_MAX {
            let header = self.authorization.header().await;
            let response = self
                .transport
                .send(host, |http| {
                    let request = adapt(http.request(method.clone(), address.clone()));
                    match &header {
                        Some(header) => request.header(AUTHORIZATION, header.clone()),
                        None => request,
                    }
                })
                .await?;
            let status = response.status();
            let here = response.url().origin() == self.base.origin();
            if status == StatusCode::UNAUTHORIZED && here {
                self.authorization
                    .answer(&self.transport, response.headers(), header.as_ref())
                    .await?;
            } else if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(response);
            } else {
                return Err(self.refused(response, path, here).await);
            }
        }
        Err(self.authorization.denied("").await)
    }

    /// The error for an answer that is neither what was asked for nor passing.
    async fn refused(&self, response: Response, path: &str, here: bool) -> Error {
        let status = response.status();
        let host = response.url().host_str().unwrap_or_default().to_owned();
        let details = self.transport.details(response).await;
        if !here {
            refusal::elsewhere(&self.reference, &host, &details)
        } else if status == StatusCode::FORBIDDEN {
            self.authorization.denied(&details).await
        } else {
            refusal::explain(&self.reference, status, path, &details)
        }
    }

    /// The whole body, unless it is larger than `limit` bytes.
    pub(super) async fn body(&self, response: Response, limit: u64) -> Result<Option<Vec<u8>>> {
        self.transport.body(response, limit).await
    }

    /// The next part of a body, for those who keep the pace themselves.
    pub(super) async fn chunk(
        &self,
        response: &mut Response,
        pace: &mut Pace,
    ) -> std::result::Result<Option<Bytes>, String> {
        self.transport.chunk(response, pace).await
    }
}
