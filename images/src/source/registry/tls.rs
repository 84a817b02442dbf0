//! Which certificates are trusted: the system's, and those for single hosts.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::unreachable;
use crate::error::{Result, quoted_path};

/// The TLS configuration for a host.
///
/// As for Docker and Podman, `DIRECTORY/HOST[:PORT]/*.crt` are certificates of
/// authorities that are trusted for that host.
pub(super) fn config(host: &str, directories: &[PathBuf]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // Without any, plain loopback registries still work, and others fail with an
    // error that says what is missing.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(directory.join(host)) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "crt") {
                continue;
            }
            let failed = |error: &dyn std::fmt::Display| {
                let path = quoted_path(&path);
                unreachable(host, format!("reading the certificate {path}: {error}"))
            };
            for certificate in
                CertificateDer::pem_file_iter(&path).map_err(|error| failed(&error))?
            {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
    }
    crate::source::http::tls(roots).map_err(|error| unreachable(host, error))
}
