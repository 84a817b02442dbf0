//! A command's end of the socket.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags};
use tokio::net::UnixStream;

use super::protocol::{LOGS, LogRecord, STATUS, STOP, ServiceStatus};
use super::socket;

/// How long a service may take to say what it does: one that was stopped by a
/// signal would take for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a service did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// It said so.
    #[error("{0}")]
    Refused(String),
    /// It has nothing of the name that it was asked for.
    #[error("{0}")]
    NotFound(String),
    /// It ended, or is another version of the program.
    #[error("the service does not answer as expected: {0}")]
    Broken(String),
}

impl From<hyper::Error> for AdminError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(crate::service_error::with_sources(&error))
    }
}

impl From<serde_json::Error> for AdminError {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A connection to a running service.
#[derive(Debug)]
pub(crate) struct RunningService {
    /// Its name.
    pub(crate) name: String,
    stream: UnixStream,
}

/// Which lines of the log.
#[derive(Debug, Default)]
pub(crate) struct LogQuery<'a> {
    pub(crate) function: Option<&'a str>,
    pub(crate) since: Option<SystemTime>,
    pub(crate) follow: bool,
}

/// The log as it comes.
#[derive(Debug)]
pub(crate) struct LogRecords {
    body: Incoming,
    pending: Vec<u8>,
}

/// All services that run, with their sockets in `directory`.
///
/// # Errors
/// The directory or a socket in it is not ours to use.
pub(crate) async fn running(directory: &Path) -> std::io::Result<Vec<RunningService>> {
    let services = socket::living(directory).await?;
    let services = services.into_iter();
    Ok(services
        .map(|(name, stream)| RunningService { name, stream })
        .collect())
}

impl RunningService {
    /// What it does at this moment.
    pub(crate) async fn status(self) -> Result<ServiceStatus, AdminError> {
        let answer = async {
            let response = request(self.stream, Method::GET, STATUS).await?;
            let body = response.into_body().collect().await?.to_bytes();
            Ok(serde_json::from_slice(&body)?)
        };
        let in_time = tokio::time::timeout(PATIENCE, answer).await;
        in_time.unwrap_or_else(|_| {
            let (name, seconds) = (&self.name, PATIENCE.as_secs());
            Err(AdminError::Broken(format!(
                "{name} has said nothing for {seconds} s"
            )))
        })
    }

    /// Its functions' log.
    pub(crate) async fn logs(self, query: &LogQuery<'_>) -> Result<LogRecords, AdminError> {
        let response = request(self.stream, Method::GET, &query.path()).await?;
        Ok(LogRecords {
            body: response.into_body(),
            pending: vec![],
        })
    }

    /// Ends it, and waits until its process is gone.
    pub(crate) async fn stop(self) -> Result<(), AdminError> {
        // Before it is asked to end: a pid may come to mean another process.
        let process = self.process();
        request(self.stream, Method::POST, STOP).await?;
        match process {
            Some(process) => ended(process)
                .await
                .map_err(|error| AdminError::Broken(error.to_string())),
            None => Err(AdminError::Refused(
                "the service is about to end, but its process cannot be waited for from this PID \
                 namespace"
                    .to_owned(),
            )),
        }
    }

    fn process(&self) -> Option<OwnedFd> {
        let pid = self.stream.peer_cred().ok()?.pid()?;
        rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
    }
}

/// A process's descriptor is readable when it has ended.
async fn ended(process: OwnedFd) -> std::io::Result<()> {
    let waiting = tokio::task::spawn_blocking(move || {
        let mut events = [PollFd::new(&process, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut events, None))
    });
    waiting.await.map_err(std::io::Error::other)??;
    Ok(())
}

impl LogQuery<'_> {
    fn path(&self) -> String {
        let since = self.since.map(|since| {
            let since = since.duration_since(SystemTime::UNIX_EPOCH);
            format!("since={}", since.unwrap_or(Duration::ZERO).as_millis())
        });
        let function = self.function.map(|name| format!("function={name}"));
        let follow = self.follow.then(|| "follow=true".to_owned());
        let parts: Vec<_> = [function, since, follow].into_iter().flatten().collect();
        format!("{LOGS}?{}", parts.join("&"))
    }
}

impl LogRecords {
    /// The next records; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<LogRecord>>, AdminError> {
        while let Some(frame) = self.body.frame().await {
            let Ok(bytes) = frame?.into_data() else {
                continue;
            };
            self.pending.extend_from_slice(&bytes);
            let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let rest = self.pending.split_off(end + 1);
            let lines = std::mem::replace(&mut self.pending, rest);
            let records = lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(serde_json::from_slice)
                .collect::<Result<_, _>>()?;
            return Ok(Some(records));
        }
        Ok(None)
    }
}

async fn request(
    stream: UnixStream,
    method: Method,
    path: &str,
) -> Result<Response<Incoming>, AdminError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the command. Its errors show where the answer is read.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "lambent")
        .body(Empty::<Bytes>::new())
        .map_err(|error| AdminError::Broken(error.to_string()))?;
    let response = sender.send_request(request).await?;
    if response.status() == StatusCode::OK || response.status() == StatusCode::ACCEPTED {
        return Ok(response);
    }
    let missing = response.status() == StatusCode::NOT_FOUND;
    let reason = response.into_body().collect().await?.to_bytes();
    let reason = String::from_utf8_lossy(&reason).into_owned();
    Err(if missing {
        AdminError::NotFound(reason)
    } else {
        AdminError::Refused(reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_written_as_they_are_read() {
        assert_eq!(LogQuery::default().path(), "/logs?");
        let query = LogQuery {
            function: Some("f"),
            since: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2)),
            follow: true,
        };
        assert_eq!(query.path(), "/logs?function=f&since=2000&follow=true");
    }
}
