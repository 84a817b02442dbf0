//! An image in a registry, by the OCI distribution protocol.
//!
//! | file | what it does |
//! |---|---|
//! | `client.rs` | one request: address, credentials, retries, refusals |
//! | `tls.rs` | which certificates are trusted |
//! | `auth.rs` | answers to `WWW-Authenticate`: basic and bearer tokens |
//! | `credentials.rs`, `helper.rs` | credential files and the programs that they name |
//! | `refusal.rs` | what an answer that is none means to the user |
//! | `retry.rs` | how often, after how long, and how slow is too slow |
//! | `blob.rs` | a blob in pieces, in parallel, in order |
//! | `fetch.rs` | one piece, resumed where it broke off |
//!
//! Why this is written on `reqwest` and not with the crate `oci-client`: that one
//! sends basic credentials to whatever realm a challenge names, reads manifests,
//! tokens and errors without a bound, does not check `Content-Range`, and returns
//! blobs only as one stream or one range, so that retries, resuming, time-outs and
//! parallel ranges would be written here all the same; nothing but its reference
//! type would be left. Why not `docker_credential`: it looks for exact host names
//! only, where containers' files match the longest prefix of the repository, and
//! it waits for credential helpers for ever.

mod auth;
mod blob;
mod client;
mod credential;
mod credentials;
mod fetch;
mod helper;
mod refusal;
mod retry;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use self::blob::BlobReader;
use self::client::Client;
use self::credentials::CredentialFiles;
use self::transport::header;
use super::{Source, mismatch};
use crate::error::{Error, ErrorKind, IoContext, Result, quoted};
use crate::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, JSON_MAX, OCI_INDEX, OCI_MANIFEST, too_large,
};
use crate::reference::RegistryReference;
use crate::{Digest, Platform};

/// The numbers of the protocol; only tests have others.
#[derive(Debug, Clone)]
struct Settings {
    /// Bytes of a piece of a blob.
    piece: u64,
    /// Pieces of one blob that are on their way at once.
    parallel: usize,
    /// Pieces of all blobs together that are held in memory while an earlier one
    /// is being read: with 8 MiB each, 40 MiB.
    ahead: usize,
    /// Tries without success before giving up.
    tries: u32,
    /// The pause before the second try; doubles from there.
    pause: Duration,
    /// Time for a connection, with TLS.
    connect: Duration,
    /// Time without `progress` bytes after which a connection counts as stalled.
    stall: Duration,
    /// See `stall`. A tenth of a slow mobile line.
    progress: usize,
    /// Directories of certificates for single hosts, as Docker and Podman have them.
    certificates: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            piece: 8 * 1024 * 1024,
            parallel: 4,
            ahead: 5,
            tries: 5,
            pause: Duration::from_millis(250),
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            progress: 32 * 1024,
            certificates: vec![
                "/etc/containers/certs.d".into(),
                "/etc/docker/certs.d".into(),
            ],
        }
    }
}

/// The digest of the manifest or index that a registry has for a reference now.
pub(super) fn digest(reference: &RegistryReference) -> Result<Digest> {
    Registry::open(reference)?.digest()
}

/// An image in a registry.
pub(super) struct Registry {
    client: Arc<Client>,
    ahead: Arc<Semaphore>,
    /// Documents that have been read, so that the first is fetched only once.
    documents: Mutex<HashMap<Digest, Vec<u8>>>,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Registry {
    pub(super) fn open(reference: &RegistryReference) -> Result<Self> {
        Self::new(
            reference,
            CredentialFiles::from_environment(),
            Settings::default(),
        )
    }

    fn new(
        reference: &RegistryReference,
        credentials: CredentialFiles,
        settings: Settings,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry")
            .enable_all()
            .build()
            .doing(|| "starting the threads of the registry client".to_owned())?;
        let ahead = Arc::new(Semaphore::new(settings.ahead));
        let client = Client::connect(reference.clone(), credentials, settings);
        let client = runtime.block_on(client)?;
        Ok(Self {
            client: Arc::new(client),
            ahead,
            documents: Mutex::default(),
            runtime: Some(runtime),
        })
    }

    fn runtime(&self) -> Result<&Runtime> {
        let gone = || Error::invalid("the registry client has been shut down");
        self.runtime.as_ref().ok_or_else(gone)
    }

    /// What the reference leads to, in one request whose answer has no body.
    fn digest(&self) -> Result<Digest> {
        let identifier = self.client.reference().identifier();
        let path = format!("manifests/{identifier}");
        let response = self
            .runtime()?
            .block_on(self.client.head_of_manifest(&path))?;
        let announced = header(response.headers(), "docker-content-digest");
        match announced.and_then(|digest| digest.parse().ok()) {
            Some(digest) => Ok(digest),
            // The protocol leaves the header to the registry.
            None => Ok(self.document(&identifier, None)?.0.digest),
        }
    }

    /// Fetches a manifest or index, which must have `digest` if it was asked for
    /// by one.
    fn document(&self, identifier: &str, digest: Option<Digest>) -> Result<(Descriptor, Vec<u8>)> {
        let path = format!("manifests/{identifier}");
        let (headers, bytes) = self.runtime()?.block_on(async {
            let response = self.client.manifest(&path).await?;
            let headers = response.headers().clone();
            let bytes = self.client.body(response, JSON_MAX).await?;
            let bytes = bytes.ok_or_else(|| too_large("image manifest"))?;
            Ok::<_, Error>((headers, bytes))
        })?;
        // What the registry says about the bytes is no proof of anything, but if
        // it does not fit then something on the way has changed them.
        let announced = header(&headers, "docker-content-digest").and_then(|d| d.parse().ok());
        let found = Digest::of(&bytes);
        if let Some(expected) = digest.or(announced)
            && found != expected
        {
            return Err(mismatch(&expected, &found));
        }
        let content_type = header(&headers, CONTENT_TYPE.as_str());
        let root = Descriptor {
            media_type: media_type(content_type.as_deref(), &bytes),
            digest: found,
            size: bytes.len() as u64,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        };
        Ok((root, bytes))
    }

    fn remember(&self, digest: Digest, bytes: Vec<u8>) {
        let mut documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        documents.insert(digest, bytes);
    }
}

impl Source for Registry {
    fn root(&self, _: &Platform) -> Result<Descriptor> {
        let reference = self.client.reference();
        let (root, bytes) = self.document(&reference.identifier(), reference.digest)?;
        self.remember(root.digest, bytes);
        Ok(root)
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.open_from(blob, 0)
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn open_from(&self, blob: &Descriptor, known: u64) -> Result<Box<dyn Read + Send + '_>> {
        let documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let behind = |bytes| {
            let mut reader = Cursor::new(bytes);
            reader.set_position(known);
            Ok(Box::new(reader) as Box<dyn Read + Send>)
        };
        if let Some(bytes) = documents.get(&blob.digest).cloned() {
            return behind(bytes);
        }
        drop(documents);
        if is_document(&blob.media_type) {
            let (_, bytes) = self.document(&blob.digest.to_string(), Some(blob.digest))?;
            return behind(bytes);
        }
        let reader = BlobReader::open(
            self.runtime()?.handle().clone(),
            Arc::clone(&self.client),
            Arc::clone(&self.ahead),
            blob,
            known,
        )?;
        Ok(Box::new(reader))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not wait, and may be called where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

const DOCUMENTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

fn is_document(media_type: &str) -> bool {
    DOCUMENTS.contains(&media_type)
}

/// The media type of a document: the registry's, or, where that says nothing, the
/// document's own.
fn media_type(content_type: Option<&str>, bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let told = content_type.map(|value| value.split(';').next().unwrap_or(value).trim());
    match told {
        None | Some("" | "application/json" | "text/plain" | "application/octet-stream") => {}
        Some(told) => return told.to_owned(),
    }
    let probe = serde_json::from_slice(bytes).unwrap_or(Probe {
        media_type: None,
        manifests: None,
    });
    let guess = if probe.manifests.is_some() {
        OCI_INDEX
    } else {
        OCI_MANIFEST
    };
    probe.media_type.unwrap_or_else(|| guess.to_owned())
}

/// An error of the network, or of a server that does not keep to the protocol.
fn unreachable(host: &str, why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("registry {}: {why}", quoted(host)),
    )
}
