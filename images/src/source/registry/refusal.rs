//! What an answer that is none means, and what the user can do about it.

use std::error::Error as StdError;
use std::fmt::Write as _;

use reqwest::StatusCode;
use rustls::CertificateError;
use serde::Deserialize;

use super::credentials::{CredentialFiles, Found};
use super::unreachable;
use crate::error::{Error, ErrorKind, quoted};
use crate::reference::RegistryReference;
use crate::source::http::causes;

/// Most of an error's body that is read, in bytes.
pub(super) const BODY_MAX: u64 = 64 * 1024;

/// The error for an answer from another host, which the registry named.
pub(super) fn elsewhere(reference: &RegistryReference, other: &str, details: &str) -> Error {
    unreachable(
        &reference.host,
        format!("it redirects to {}, which answers {details}", quoted(other)),
    )
}

/// The error for an answer that is neither what was asked for nor passing, nor about
/// credentials.
pub(super) fn explain(
    reference: &RegistryReference,
    status: StatusCode,
    path: &str,
    details: &str,
) -> Error {
    let host = quoted(&reference.host);
    match status {
        StatusCode::NOT_FOUND if path.starts_with("manifests/") => Error::new(
            ErrorKind::NotFound,
            format!(
                "registry {host} has no image {} in the repository {} ({details}); check name and \
                 tag, for example with `skopeo list-tags docker://{}/{}`",
                quoted(path.trim_start_matches("manifests/")),
                quoted(&reference.repository),
                reference.host,
                reference.repository
            ),
        ),
        StatusCode::NOT_FOUND => Error::new(
            ErrorKind::NotFound,
            format!(
                "registry {host} has no blob {} although a manifest in the repository {} lists it \
                 ({details}); the image was pushed incompletely or is being deleted: push it again",
                quoted(path.trim_start_matches("blobs/")),
                quoted(&reference.repository),
            ),
        ),
        _ => unreachable(&reference.host, details),
    }
}

/// The status and the registry's own words, if it has some.
pub(super) fn details(status: StatusCode, body: Option<&[u8]>) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        code: Option<String>,
        message: Option<String>,
    }
    let mut text = status.to_string();
    let answer = body.and_then(|bytes| serde_json::from_slice::<Answer>(bytes).ok());
    if let Some(item) = answer.and_then(|answer| answer.errors.into_iter().next()) {
        let words: Vec<_> = [item.code, item.message].into_iter().flatten().collect();
        let _infallible = write!(text, ": {}", quoted(words.join(": ")));
    }
    text
}

/// The error for credentials that are missing or not enough.
pub(super) fn denied(
    reference: &RegistryReference,
    found: Option<&Found>,
    files: &CredentialFiles,
    details: &str,
) -> Error {
    let details = if details.is_empty() {
        String::new()
    } else {
        format!(" ({details})")
    };
    let why = match found {
        Some(found) => format!(
            "the credentials from {} are not accepted or not enough",
            found.origin
        ),
        None => format!("there are no credentials for it in {}", files.listed()),
    };
    Error::new(
        ErrorKind::Denied,
        format!(
            "registry {} refuses access to the repository {}{details}: {why}; {}",
            quoted(&reference.host),
            quoted(&reference.repository),
            login(reference)
        ),
    )
}

/// What to run. ECR's passwords last for twelve hours and come from AWS's tools.
fn login(reference: &RegistryReference) -> String {
    let host = &reference.host;
    let region = match host.split('.').collect::<Vec<_>>().as_slice() {
        [account, "dkr", "ecr" | "ecr-fips", region, "amazonaws", ..]
            if account.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Some(*region)
        }
        _ => None,
    };
    match region {
        Some(region) => format!(
            "log in with `aws ecr get-login-password --region {region} | podman login --username \
             AWS --password-stdin {host}` (or `docker login` with the same arguments; it lasts for \
             12 hours), or set up Amazon's docker-credential-ecr-login"
        ),
        None => format!("log in with `podman login {host}` or `docker login {host}`"),
    }
}

/// An error of the connection, with its causes.
pub(super) fn transport(host: &str, error: reqwest::Error) -> String {
    if let Some(why) = certificate_error(&error) {
        let shown = why.to_string();
        let shown = shown.escape_debug();
        if let CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } = why
        {
            return format!(
                "its TLS certificate is not valid now: {shown}; the registry has to renew it, \
                 unless this machine's clock is wrong"
            );
        }
        return format!(
            "its TLS certificate is not trusted: {shown}; put the certificate of its authority at \
             /etc/containers/certs.d/{host}/ca.crt, or into the system's (package ca-certificates, \
             or SSL_CERT_FILE)"
        );
    }
    causes(error)
}

/// What is wrong with the server's certificate, if that is what went wrong.
pub(super) fn certificate_error(error: &reqwest::Error) -> Option<CertificateError> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = next {
        // Errors in boxes of other errors, which their `source` passes over.
        let mut inner = error;
        while let Some(wrapped) = inner.downcast_ref::<std::io::Error>()
            && let Some(unwrapped) = wrapped.get_ref()
        {
            inner = unwrapped;
        }
        if let Some(rustls::Error::InvalidCertificate(why)) = inner.downcast_ref() {
            return Some(why.clone());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn ecr_has_a_login_of_its_own() {
        let advice = |text: &str| login(&text.parse().unwrap());
        let ecr = advice("123456789012.dkr.ecr.eu-west-1.amazonaws.com/fn:1");
        assert!(
            ecr.contains("aws ecr get-login-password --region eu-west-1 |"),
            "{ecr}"
        );
        let china = advice("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/fn");
        assert!(china.contains("--region cn-north-1"), "{china}");
        for other in ["h.io/fn", "alpine", "evil.dkr.ecr.x.amazonaws.com/fn"] {
            let text = advice(other);
            assert!(
                text.contains("podman login") && !text.contains("aws ecr"),
                "{text}"
            );
        }
    }
}
