//! An image of a running Docker or Podman, by Docker's API over its socket.
//!
//! One request gives what `docker save` gives, which goes through a temporary
//! file into the readers of archives, and a small one which image a name means now.
//! For a GET over a Unix socket the client of
//! the registries is enough; the crate `bollard` would bring some twenty more.

#[cfg(test)]
mod tests;

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, Bytes};
use reqwest::{Response, StatusCode};
use rustls::RootCertStore;
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::archive::Archive;
use super::http::{causes, tls};
use super::spool::spool;
use super::{Source, detect};
use crate::error::{Error, ErrorKind, IoContext, Result, quoted, quoted_path};
use crate::reference::RegistryReference;

/// Time until a daemon begins to answer: it may write the whole archive first.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// Time between two parts of the archive.
const STALL_MAX: Duration = Duration::from_secs(120);
/// Time until a daemon says which image it has.
const ID_MAX: Duration = Duration::from_secs(10);
/// Most of an error's body that is read, in bytes.
const ERROR_MAX: usize = 64 * 1024;
/// Most of what a daemon says of an image that is read, in bytes.
const INSPECT_MAX: usize = 4 * 1024 * 1024;

/// Exports an image and opens the archive.
pub(super) fn open(name: &str) -> Result<Box<dyn Source>> {
    from_sockets(name, &sockets()?)
}

/// The ID of the image that has a name now.
pub(super) fn id(name: &str) -> Result<String> {
    ask(name, &sockets()?, image_id)
}

/// Where daemons listen; only those that are there.
fn sockets() -> Result<Vec<PathBuf>> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    for name in ["DOCKER_HOST", "CONTAINER_HOST"] {
        if let Some(value) = set(name) {
            let path = value.strip_prefix("unix://").ok_or_else(|| {
                Error::unsupported(format!(
                    "{name} is {}, and only unix:// sockets are spoken to; save the image to a \
                     file with `docker save`, or unset {name}",
                    quoted(&value)
                ))
            })?;
            return Ok(vec![path.into()]);
        }
    }
    let mut known: Vec<PathBuf> = vec![
        "/var/run/docker.sock".into(),
        "/run/podman/podman.sock".into(),
    ];
    if let Some(run) = set("XDG_RUNTIME_DIR") {
        known.push(Path::new(&run).join("docker.sock"));
        known.push(Path::new(&run).join("podman/podman.sock"));
    }
    let listed = known.iter().map(|path| quoted_path(path));
    let listed = listed.collect::<Vec<_>>().join(", ");
    known.retain(|path| path.exists());
    if known.is_empty() {
        return Err(Error::new(
            ErrorKind::Unreachable,
            format!(
                "no Docker or Podman listens here: there is none of {listed}; start one \
                 (`systemctl start docker` or `systemctl start podman.socket`), or name its socket \
                 with DOCKER_HOST=unix://PATH"
            ),
        ));
    }
    Ok(known)
}

/// Exports the image from the first daemon that has it.
fn from_sockets(name: &str, sockets: &[PathBuf]) -> Result<Box<dyn Source>> {
    ask(name, sockets, export)
}

/// Asks the first daemon that has the image.
fn ask<T>(
    name: &str,
    sockets: &[PathBuf],
    question: impl Fn(&Daemon<'_>, &str) -> Result<T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting the client of the daemon".to_owned())?;
    let mut failure = None;
    for socket in sockets {
        let daemon = Daemon {
            runtime: &runtime,
            socket,
        };
        for name in candidates(name) {
            let error = match question(&daemon, &name) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // That something is wrong with a daemon says more than that another
            // one does not have the image; the first says most.
            let missing = error.kind() == ErrorKind::NotFound;
            let known: Option<&Error> = failure.as_ref();
            if known.is_none_or(|known| known.kind() == ErrorKind::NotFound && !missing) {
                failure = Some(error);
            }
            if !missing {
                break;
            }
        }
    }
    Err(failure.unwrap_or_else(|| Error::invalid("there is no socket to ask")))
}

/// The names to ask for: with a tag, since without one Docker exports every tag,
/// and as Podman calls images that were built here.
fn candidates(name: &str) -> Vec<String> {
    if name.starts_with("sha256:") {
        return vec![name.to_owned()];
    }
    let parsed: Result<RegistryReference> = name.parse();
    let tagged = match parsed {
        Ok(parsed) if parsed.tag.is_none() && parsed.digest.is_none() => format!("{name}:latest"),
        _ => name.to_owned(),
    };
    let first = name.split('/').next().unwrap_or(name);
    let has_host = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if has_host {
        vec![tagged]
    } else {
        let local = format!("localhost/{tagged}");
        vec![tagged, local]
    }
}

/// Exports an image and opens the archive.
fn export(daemon: &Daemon<'_>, name: &str) -> Result<Box<dyn Source>> {
    let response = daemon.request(name, "get", ANSWER_MAX)?;
    let mut body = Body {
        daemon,
        response,
        chunk: Bytes::new(),
    };
    let what = format!("docker-daemon:{name}");
    let file = spool(&mut body, &what)?;
    detect::archive(Archive::of_file(file, Path::new(&what))?)
}

/// The ID of an image.
fn image_id(daemon: &Daemon<'_>, name: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Inspected {
        #[serde(rename = "Id")]
        id: String,
    }
    let mut response = daemon.request(name, "json", ID_MAX)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = daemon.chunk(&mut response)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > INSPECT_MAX {
            return Err(daemon.unreachable("its answer is too long"));
        }
    }
    let inspected: Inspected = serde_json::from_slice(&bytes)
        .map_err(|_| daemon.unreachable("its answer has no Id of the image"))?;
    Ok(inspected.id)
}

struct Daemon<'a> {
    runtime: &'a Runtime,
    socket: &'a Path,
}

impl Daemon<'_> {
    /// What a daemon answers of an image, if it has it.
    fn request(&self, name: &str, what: &str, limit: Duration) -> Result<Response> {
        let tls =
            tls(RootCertStore::empty()).map_err(|error| self.unreachable(&error.to_string()))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .unix_socket(self.socket)
            .no_proxy()
            .user_agent(concat!("lambent/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| self.unreachable(&causes(error)))?;
        // The characters of image names need no escapes in a path.
        let address = format!("http://localhost/images/{name}/{what}");
        // Timers must be made where they run.
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(limit, client.get(address).send()).await });
        match answer {
            Ok(Ok(response)) if response.status().is_success() => Ok(response),
            Ok(Ok(response)) => Err(self.refusal(name, response.status(), response)),
            Ok(Err(error)) => {
                let why = causes(error);
                let advice = if why.contains("ermission denied") {
                    "; run as root, or as a member of the group that owns the socket"
                } else {
                    ""
                };
                Err(self.unreachable(&format!("{why}{advice}")))
            }
            Err(_) => Err(self.unreachable("it does not answer")),
        }
    }

    fn refusal(&self, name: &str, status: StatusCode, mut response: Response) -> Error {
        #[derive(Deserialize)]
        struct Answer {
            message: String,
        }
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = self.chunk(&mut response) {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ERROR_MAX {
                break;
            }
        }
        let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
        let words = answer.map_or_else(|| status.to_string(), |answer| quoted(answer.message));
        if status == StatusCode::NOT_FOUND {
            return Error::new(
                ErrorKind::NotFound,
                format!(
                    "the daemon at {} has no image {} ({words}); `docker images` or `podman \
                     images` lists those that it has",
                    quoted_path(self.socket),
                    quoted(name)
                ),
            );
        }
        self.unreachable(&format!("it does not export {}: {words}", quoted(name)))
    }

    fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>> {
        let chunk = self
            .runtime
            .block_on(async { tokio::time::timeout(STALL_MAX, response.chunk()).await });
        match chunk {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.unreachable(&causes(error))),
            Err(_) => Err(self.unreachable("nothing comes any more")),
        }
    }

    fn unreachable(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("daemon at {}: {why}", quoted_path(self.socket)),
        )
    }
}

/// The body of an answer.
struct Body<'a> {
    daemon: &'a Daemon<'a>,
    response: Response,
    chunk: Bytes,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.daemon.chunk(&mut self.response)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
