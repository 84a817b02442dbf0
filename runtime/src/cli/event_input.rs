//! The event of commands that invoke.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;

use super::exit_status::CommandError;
use crate::model::MAX_EVENT_BYTES;

/// The event's bytes, checked as Lambda checks them.
pub(super) fn event(file: Option<&Path>, payload: Option<String>) -> Result<Bytes, CommandError> {
    let (name, bytes) = match (file, payload) {
        (None, None) => return Ok(Bytes::from_static(b"{}")),
        (None, Some(text)) => ("--payload".to_owned(), text.into_bytes()),
        (Some(path), _) => {
            let limit = MAX_EVENT_BYTES as u64 + 1;
            let mut bytes = vec![];
            let (name, read) = if path == Path::new("-") {
                let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
                ("standard input".to_owned(), read)
            } else {
                let read =
                    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
                (path.display().to_string(), read)
            };
            read.map_err(|error| {
                CommandError::Usage(format!("cannot read the event from {name}: {error}"))
            })?;
            (name, bytes)
        }
    };
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(CommandError::Usage(format!(
            "the event from {name} has more than {MAX_EVENT_BYTES} bytes, Lambda's limit for a \
             synchronous invocation"
        )));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(CommandError::Usage(format!(
            "the event from {name} is empty; Lambda requires JSON"
        )));
    }
    if bytes.starts_with(b"file://") || bytes.starts_with(b"@") {
        return Err(CommandError::Usage(format!(
            "{name} takes the event itself; to read it from a file, use --event FILE"
        )));
    }
    // Only whether it is JSON: the function gets the bytes as they are.
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        return Err(CommandError::Usage(format!(
            "the event from {name} is not JSON, which Lambda requires: {error}"
        )));
    }
    Ok(bytes.into())
}
