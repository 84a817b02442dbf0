//! Answers to `WWW-Authenticate`: basic credentials and bearer tokens.
//!
//! Credentials go to the registry itself, and to the realm that it names for its
//! tokens, which for Docker Hub is another host; to a realm without TLS only if
//! registry and realm are both on this machine. Redirects lose them, see `transport.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::super::http::is_loopback;
use super::credential::Credential;
use super::credentials::{CredentialFiles, Found};
use super::transport::Transport;
use super::{refusal, unreachable};
use crate::error::{Error, Result, quoted};
use crate::reference::RegistryReference;

/// Largest answer of a token server, in bytes.
const TOKEN_MAX: u64 = 1024 * 1024;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// The credentials of one image, and what was made of them.
pub(super) struct Authorization {
    files: CredentialFiles,
    reference: RegistryReference,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    header: Option<HeaderValue>,
    looked: bool,
    found: Option<Found>,
}

impl Authorization {
    pub(super) fn new(files: CredentialFiles, reference: RegistryReference) -> Self {
        Self {
            files,
            reference,
            state: Mutex::default(),
        }
    }

    /// The header to send with a request.
    pub(super) async fn header(&self) -> Option<HeaderValue> {
        self.state.lock().await.header.clone()
    }

    /// Makes a new header after a request with `used` was answered with 401.
    pub(super) async fn answer(
        &self,
        transport: &Transport,
        headers: &HeaderMap,
        used: Option<&HeaderValue>,
    ) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.header.as_ref() != used {
            // Another request was faster; its answer has not been tried yet.
            return Ok(());
        }
        let challenge = parse(&self.reference.host, headers, transport.is_loopback())?;
        let found = self.credential(&mut state).await?;
        let header = match challenge {
            Challenge::Basic => match found.as_ref().map(|found| &found.credential) {
                Some(Credential::Password { user, password }) => basic(user, password)?,
                Some(Credential::IdentityToken(_)) | None => {
                    return Err(self.refused(found.as_ref(), ""));
                }
            },
            Challenge::Bearer { realm, service } => {
                self.token(transport, realm, service.as_deref(), found.as_ref())
                    .await?
            }
        };
        if used == Some(&header) {
            return Err(self.refused(found.as_ref(), ""));
        }
        state.header = Some(header);
        Ok(())
    }

    /// The error for a request that was refused with credentials and all.
    pub(super) async fn denied(&self, details: &str) -> Error {
        let state = self.state.lock().await;
        self.refused(state.found.as_ref(), details)
    }

    fn refused(&self, found: Option<&Found>, details: &str) -> Error {
        refusal::denied(&self.reference, found, &self.files, details)
    }

    /// Looks for credentials, once: a helper may ask a keyring or a server.
    async fn credential(&self, state: &mut State) -> Result<Option<Found>> {
        if !state.looked {
            let files = self.files.clone();
            let reference = self.reference.clone();
            let looking = tokio::task::spawn_blocking(move || files.find(&reference));
            state.found = looking.await.map_err(|error| {
                unreachable(&self.reference.host, format!("credentials: {error}"))
            })??;
            state.looked = true;
        }
        Ok(state.found.clone())
    }

    async fn token(
        &self,
        transport: &Transport,
        realm: Url,
        service: Option<&str>,
        found: Option<&Found>,
    ) -> Result<HeaderValue> {
        let scope = format!("repository:{}:pull", self.reference.repository);
        let credential = found.map(|found| &found.credential);
        let header = match credential {
            Some(Credential::Password { user, password }) => Some(basic(user, password)?),
            _ => None,
        };
        let host = realm.host_str().unwrap_or_default().to_owned();
        let form = match credential {
            Some(Credential::IdentityToken(token)) => {
                let mut form =
                    reqwest::Url::parse("form:").map_err(|error| unreachable(&host, error))?;
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token)
                    .append_pair("service", service.unwrap_or_default())
                    .append_pair("scope", &scope)
                    .append_pair("client_id", "lambent");
                form.query().map(str::to_owned)
            }
            _ => None,
        };
        let mut address = realm;
        if form.is_none() {
            let mut query = address.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &scope);
        }
        let response = transport
            .send(&host, |http| {
                let mut request = match &form {
                    Some(form) => http
                        .post(address.clone())
                        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                        .body(form.clone()),
                    None => http.get(address.clone()),
                };
                if let Some(header) = &header {
                    request = request.header(AUTHORIZATION, header.clone());
                }
                request
            })
            .await?;
        let status = response.status();
        if !status.is_success() {
            let details = transport.details(response).await;
            return Err(if matches!(status.as_u16(), 400 | 401 | 403) {
                self.refused(found, &details)
            } else {
                unreachable(&host, format!("no token for the registry: {details}"))
            });
        }
        let bytes = transport.body(response, TOKEN_MAX).await?;
        let bytes = bytes.ok_or_else(|| unreachable(&host, "its token is larger than 1 MiB"))?;
        parse_token(&bytes).ok_or_else(|| unreachable(&host, "its answer has no usable token"))
    }
}

fn parse_token(bytes: &[u8]) -> Option<HeaderValue> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let filled = |token: &String| !token.is_empty();
    let token = answer.token.filter(filled);
    let token = token.or_else(|| answer.access_token.filter(filled))?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut header =
        HeaderValue::try_from(text).map_err(|_| Error::invalid("the credentials are malformed"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The challenge that is answered; a token is preferred, as it is worth less.
fn parse(host: &str, headers: &HeaderMap, loopback: bool) -> Result<Challenge> {
    let mut basic = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let challenges = value.to_str().ok().map(http_auth::parse_challenges);
        let Some(Ok(challenges)) = challenges else {
            continue;
        };
        for challenge in challenges {
            let parameter = |name: &str| {
                let mut parameters = challenge.params.iter();
                let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameter("realm").unwrap_or_default();
                let realm = check_realm(host, &realm, loopback)?;
                let service = parameter("service");
                return Ok(Challenge::Bearer { realm, service });
            }
            basic |= challenge.scheme.eq_ignore_ascii_case("basic");
        }
    }
    if basic {
        return Ok(Challenge::Basic);
    }
    Err(unreachable(
        host,
        "it asks for a login (401) by no method that is known: neither Basic nor Bearer",
    ))
}

fn check_realm(host: &str, realm: &str, loopback: bool) -> Result<Url> {
    let url = Url::parse(realm).map_err(|error| {
        unreachable(
            host,
            format!("its token realm {} is no address: {error}", quoted(realm)),
        )
    })?;
    let local = loopback && url.host_str().is_some_and(is_loopback);
    let safe = url.scheme() == "https" || (url.scheme() == "http" && local);
    if !safe || !url.username().is_empty() || url.password().is_some() {
        return Err(unreachable(
            host,
            format!(
                "its token realm {} is not an https address, so no credentials are sent there",
                quoted(realm)
            ),
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn challenge(values: &[&str], loopback: bool) -> Result<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        parse("h.io", &headers, loopback)
    }

    #[test]
    fn challenges() {
        let bearer = |realm: &str| Challenge::Bearer {
            realm: realm.parse().unwrap(),
            service: Some("s, t".to_owned()),
        };
        let token = r#"Bearer realm="https://auth.h.io/token",service="s, t",scope="x""#;
        assert_eq!(
            challenge(&[token], false).unwrap(),
            bearer("https://auth.h.io/token")
        );
        assert_eq!(
            challenge(&["Basic realm=x", token], false).unwrap(),
            bearer("https://auth.h.io/token")
        );
        assert_eq!(
            challenge(&["BASIC realm=\"x\""], false).unwrap(),
            Challenge::Basic
        );
        for bad in ["", "Digest realm=\"x\"", "Negotiate", "Bearer", "=\"\""] {
            challenge(&[bad], false).unwrap_err();
        }
    }

    #[test]
    fn realms_without_tls_only_on_this_machine() {
        for (realm, loopback, accepted) in [
            ("https://auth.h.io/", false, true),
            ("http://auth.h.io/", false, false),
            ("http://169.254.169.254/latest/", false, false),
            ("http://169.254.169.254/latest/", true, false),
            ("http://127.0.0.1:5001/token", true, true),
            ("http://[::1]/token", true, true),
            ("http://127.0.0.1:5001/token", false, false),
            ("http://localhost.evil.io/", true, false),
            ("https://user:word@auth.h.io/", false, false),
            ("file:///etc/passwd", false, false),
            ("/token", false, false),
        ] {
            assert_eq!(
                check_realm("h.io", realm, loopback).is_ok(),
                accepted,
                "{realm}"
            );
        }
    }

    #[test]
    fn tokens() {
        assert!(parse_token(br#"{"token":"abc"}"#).is_some());
        assert!(parse_token(br#"{"token":"","access_token":"abc"}"#).is_some());
        for bad in [
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"a\r\nX: y"}"#,
            "[]",
            "x",
        ] {
            assert!(parse_token(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
