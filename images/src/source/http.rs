//! What the two clients, of registries and of daemons, have in common.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// An error of a connection, with its causes, without control characters.
pub(super) fn causes(error: reqwest::Error) -> String {
    // Addresses can be long and may contain signatures.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            let _infallible = write!(text, ": {inner_text}");
        }
        source = inner.source();
    }
    text.escape_debug().to_string()
}

/// TLS that trusts these authorities. The library wants a configuration even for
/// connections without TLS.
pub(super) fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
