//! What clients have in common: of registries, of daemons, and of what else speaks
//! HTTP beside images.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// An error of a connection, with its causes, without control characters.
pub fn causes(error: reqwest::Error) -> String {
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

/// A client, to be adapted. With `secure` it
/// trusts the system's authorities, which have to be read for that.
///
/// # Errors
/// TLS cannot be set up.
pub fn client(secure: bool) -> Result<reqwest::ClientBuilder, String> {
    let mut roots = RootCertStore::empty();
    if secure {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let tls = tls(roots).map_err(|error| error.to_string())?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls);
    Ok(client.user_agent(concat!("lambent/", env!("CARGO_PKG_VERSION"))))
}

/// True for a host on this machine; brackets of IPv6 addresses are optional.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = bare.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
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
