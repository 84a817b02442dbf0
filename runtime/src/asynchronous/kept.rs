//! Events on disk: each has a file from before its sender is answered until it has
//! come to its end, so that it outlives the service.
//!
//! A file is a line of JSON, [`Head`], and the payload as it came. Its name begins
//! with the time at which the event was accepted: sorted names are the order of
//! events. Only the service that has the functions of an installation has its events.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::environment::Invocation;
use crate::file;
use crate::model::{ClientContext, FunctionName, FunctionReference, TraceId};

/// Version of the format.
const VERSION: u32 = 1;

/// How names of files end that are whole.
const SUFFIX: &str = ".event";

/// Where events are kept.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Orders events of one millisecond.
    next: AtomicU64,
}

/// An event as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Of its file.
    pub(super) name: String,
    pub(super) reference: FunctionReference,
    pub(super) invocation: Invocation,
    pub(super) received: SystemTime,
    /// How often the function ran.
    pub(super) runs: u32,
    /// When it is tried again.
    pub(super) not_before: SystemTime,
    /// How many records there were before this event, each the cause of the next.
    pub(super) chain: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    version: u32,
    request_id: String,
    trace_id: String,
    function: FunctionName,
    qualifier: Option<String>,
    client_context: Option<String>,
    received_ms: u64,
    runs: u32,
    not_before_ms: u64,
    chain: u32,
}

impl Store {
    /// Opens the store, or makes an empty one.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            next: AtomicU64::new(0),
        })
    }

    /// The name for an event that was accepted at `received`.
    pub(super) fn name(&self, received: SystemTime, invocation: &Invocation) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (ms, id) = (milliseconds(received), invocation.request_id);
        format!("{ms:015}-{number:010}-{id}{SUFFIX}")
    }

    /// Writes an event, or what has become of it.
    ///
    /// # Errors
    /// It is not on disk.
    pub(super) fn put(&self, event: &Kept) -> Result<(), String> {
        let head = Head {
            version: VERSION,
            request_id: event.invocation.request_id.to_string(),
            trace_id: event.invocation.trace_id.for_later(),
            function: event.reference.name.clone(),
            qualifier: event.reference.qualifier.clone(),
            client_context: event
                .invocation
                .client_context
                .as_ref()
                .map(|context| context.as_str().to_owned()),
            received_ms: milliseconds(event.received),
            runs: event.runs,
            not_before_ms: milliseconds(event.not_before),
            chain: event.chain,
        };
        let mut bytes = serde_json::to_vec(&head).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&event.invocation.payload);
        file::replace(&self.directory.join(&event.name), &bytes).map_err(|error| error.to_string())
    }

    /// Forgets an event that has come to its end.
    ///
    /// # Errors
    /// It is still there, and would run again.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All events in their order, and a sentence for each file that is none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn load(&self) -> io::Result<(Vec<Kept>, Vec<String>)> {
        let mut names: Vec<String> = fs::read_dir(&self.directory)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        let (mut events, mut problems) = (vec![], vec![]);
        for name in names {
            let path = self.directory.join(&name);
            if !name.ends_with(SUFFIX) {
                // Of one whose sender was never answered.
                let _ = fs::remove_file(&path);
                continue;
            }
            let event = fs::read(&path).map_err(|error| error.to_string());
            match event.and_then(|bytes| parse(&name, &bytes)) {
                Ok(event) => events.push(event),
                Err(reason) => problems.push(format!(
                    "the asynchronous event in {} is left alone: {reason}",
                    path.display()
                )),
            }
        }
        Ok((events, problems))
    }
}

fn parse(name: &str, bytes: &[u8]) -> Result<Kept, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or("it has no head")?;
    let (head, payload) = (&bytes[..end], &bytes[end + 1..]);
    let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    if head.version != VERSION {
        return Err(format!(
            "it has format {}, and this program reads format {VERSION}",
            head.version
        ));
    }
    let mut invocation = Invocation::new(Bytes::copy_from_slice(payload));
    let id = head.request_id.parse();
    invocation.request_id = id.map_err(|error| format!("its request ID: {error}"))?;
    let trace: Result<TraceId, _> = head.trace_id.parse();
    invocation.trace_id = trace.map_err(|error| format!("its trace: {error}"))?;
    invocation.qualifier.clone_from(&head.qualifier);
    let context = head.client_context.as_deref().map(ClientContext::new);
    let context = context.transpose().map_err(|error| error.to_string())?;
    invocation.client_context = context;
    Ok(Kept {
        name: name.to_owned(),
        reference: FunctionReference {
            name: head.function,
            qualifier: head.qualifier,
        },
        invocation,
        received: time(head.received_ms),
        runs: head.runs,
        not_before: time(head.not_before_ms),
        chain: head.chain,
    })
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(milliseconds: u64) -> SystemTime {
    let since = Duration::from_millis(milliseconds);
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(store: &Store, received: SystemTime, payload: &'static [u8]) -> Kept {
        let mut invocation = Invocation::new(Bytes::from_static(payload));
        invocation.client_context = Some(ClientContext::new("{\"a\":1}").unwrap());
        invocation.qualifier = Some("live".to_owned());
        Kept {
            name: store.name(received, &invocation),
            reference: FunctionReference::parse("f", Some("live")).unwrap(),
            invocation,
            received,
            runs: 0,
            not_before: received,
            chain: 3,
        }
    }

    #[test]
    fn events_come_back_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("events")).unwrap();
        let early = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let late = early + Duration::from_secs(1);
        let payloads: [&[u8]; 3] = [b"{\"n\":\n1}", b"2", b"3"];
        let third = event(&store, late, payloads[2]);
        let mut first = event(&store, early, payloads[0]);
        let second = event(&store, early, payloads[1]);
        for event in [&third, &second, &first] {
            store.put(event).unwrap();
        }
        first.runs = 2;
        first.not_before = late;
        store.put(&first).unwrap();
        let (events, problems) = store.load().unwrap();
        assert_eq!(problems, Vec::<String>::new());
        let found: Vec<&[u8]> = events
            .iter()
            .map(|event| &event.invocation.payload[..])
            .collect();
        assert_eq!(found, payloads);
        let (back, kept) = (&events[0], &first);
        assert_eq!(back.reference, kept.reference);
        assert_eq!(back.invocation.request_id, kept.invocation.request_id);
        let trace = |event: &Kept| event.invocation.trace_id.for_later();
        assert_eq!(trace(back), trace(kept));
        assert_eq!(
            back.invocation.client_context,
            kept.invocation.client_context
        );
        assert_eq!(back.invocation.qualifier, kept.invocation.qualifier);
        assert_eq!((back.runs, back.chain), (2, 3));
        assert_eq!((back.received, back.not_before), (early, late));
        store.remove(&first.name).unwrap();
        store.remove(&first.name).unwrap();
        assert_eq!(store.load().unwrap().0.len(), 2);
    }

    #[test]
    fn what_is_no_event_is_said_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let good = event(&store, UNIX_EPOCH, b"{}");
        store.put(&good).unwrap();
        let written = fs::read(directory.path().join(&good.name)).unwrap();
        let text = String::from_utf8(written).unwrap();
        for (name, content, part) in [
            (
                "a.event",
                text.replace("\"version\":1", "\"version\":2"),
                "format 2",
            ),
            ("b.event", text.replace('\n', ""), "no head"),
            ("c.event", format!("x{text}"), "expected value"),
            ("d.event", text.replace("Id\":\"", "Id\":\"x"), "request ID"),
            ("f.event", text.replace("\"Root=", "\"Rood="), "trace"),
        ] {
            fs::write(directory.path().join(name), content).unwrap();
            let (events, problems) = store.load().unwrap();
            assert_eq!(
                (events.len(), problems.len()),
                (1, 1),
                "{name}: {problems:?}"
            );
            assert!(problems[0].contains(part), "{problems:?}");
            fs::remove_file(directory.path().join(name)).unwrap();
        }
        let part = directory.path().join("e.event.part");
        fs::write(&part, "half").unwrap();
        assert_eq!(store.load().unwrap().1, Vec::<String>::new());
        assert!(!part.exists());
    }
}
