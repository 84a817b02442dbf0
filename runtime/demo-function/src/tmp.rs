//! The ephemeral storage.

use crate::action::Failure;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const TMP: &str = "/tmp";
const MIB: usize = 1024 * 1024;

/// Writes up to `mb` MiB to `/tmp/fill`, one MiB a call, until done or refused.
pub(crate) fn fill(mb: u64) -> Value {
    let mut written = 0;
    let result = File::create(Path::new(TMP).join("fill"))
        .and_then(|file| fill_file(&file, mb, &mut written));
    let error = result.err();
    json!({
        "writtenBytes": written,
        "errno": error.as_ref().and_then(io::Error::raw_os_error),
        "error": error.map(|error| error.to_string()),
    })
}

/// The loop of [`fill`]; counts what was accepted, also of a partial write.
fn fill_file(mut file: &File, mb: u64, written: &mut u64) -> io::Result<()> {
    let mut block = random_block();
    for index in 0..mb {
        // No two blocks alike, at no cost for a function with little CPU.
        block[..8].copy_from_slice(&index.to_le_bytes());
        let mut rest = block.as_slice();
        while !rest.is_empty() {
            let count = file.write(rest)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            *written += count as u64;
            rest = &rest[count..];
        }
    }
    Ok(())
}

/// One MiB that does not compress (xorshift64).
fn random_block() -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut block = Vec::with_capacity(MIB);
    while block.len() < MIB {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
}

/// Writes `text` to a file.
pub(crate) fn write(name: &str, text: &str) -> Result<Value, Failure> {
    let result = fs::write(path(name)?, text);
    Ok(json!({
        "writtenBytes": if result.is_ok() { text.len() } else { 0 },
        "errno": errno(&result),
    }))
}

/// Reads a file; `text` is null when it cannot be read.
pub(crate) fn read(name: &str) -> Result<Value, Failure> {
    let result = fs::read_to_string(path(name)?);
    let errno = errno(&result);
    Ok(json!({ "text": result.ok(), "errno": errno }))
}

/// Names in `/tmp`, sorted.
pub(crate) fn list() -> Value {
    json!({ "names": names(TMP) })
}

/// Names in a directory, sorted; empty when it cannot be read.
pub(crate) fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// `/tmp/NAME` for a plain file name.
fn path(name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(Failure::new(
            "InvalidEvent",
            format!("{name:?} is not a file name"),
        ));
    }
    Ok(Path::new(TMP).join(name))
}

/// The system's error number, if there was one.
pub(crate) fn errno<T>(result: &io::Result<T>) -> Option<i32> {
    result.as_ref().err().and_then(io::Error::raw_os_error)
}
