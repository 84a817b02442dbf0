//! The event of commands that invoke.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use bytes::Bytes;

use super::exit_status::CommandError;
use super::output;
use crate::model::{MAX_EVENT_BYTES, check_event};

/// The event's bytes, checked as Lambda checks them.
pub(super) fn event(file: Option<&Path>, payload: Option<String>) -> Result<Bytes, CommandError> {
    let (name, bytes) = match (file, payload) {
        (None, None) => return Ok(Bytes::from_static(b"{}")),
        (None, Some(text)) => ("--payload".to_owned(), text.into_bytes()),
        (Some(path), _) => {
            let limit = MAX_EVENT_BYTES as u64 + 1;
            let mut bytes = vec![];
            let is_stdin = path == Path::new("-");
            let name = if is_stdin {
                "standard input".to_owned()
            } else {
                path.display().to_string()
            };
            if let Some(kind) = waiting(path, is_stdin) {
                output::progress(&format!("waiting for the event from {name}, {kind}"));
            }
            let read = if is_stdin {
                std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
            } else {
                File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
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
    if let Err(error) = check_event(&bytes) {
        return Err(CommandError::Usage(format!(
            "the event from {name} is not JSON, which Lambda requires: {error}"
        )));
    }
    Ok(bytes.into())
}

/// What an event comes from that somebody has yet to write, for a person who wonders why
/// nothing happens.
fn waiting(path: &Path, is_stdin: bool) -> Option<&'static str> {
    const TERMINAL: &str = "a terminal: type JSON, and end it with ctrl-D on a line of its own";
    const FIFO: &str = "a FIFO: until a program has written it and closed it";
    if is_stdin {
        return std::io::stdin().is_terminal().then_some(TERMINAL);
    }
    let kind = path.metadata().ok()?.file_type();
    if kind.is_fifo() {
        return output::stderr_is_terminal().then_some(FIFO);
    }
    // Only what is a device can be a terminal; others act when they are opened.
    let is_terminal = kind.is_char_device() && File::open(path).ok()?.is_terminal();
    is_terminal.then_some(TERMINAL)
}
