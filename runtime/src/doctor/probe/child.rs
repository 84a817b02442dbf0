//! Work in a fork, so that what it does to its process ends with it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::pipe::PipeFlags;
use rustix::process::{Signal, WaitOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{self, Fork};

/// Runs `work` in a child process and returns what it returned. For a process
/// with one thread.
///
/// # Errors
/// The child cannot be made, or ended without a result.
pub(super) fn in_child<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> T) -> io::Result<T> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        Fork::Child => {
            drop(reader);
            // A panic must not run on into the code of the parent.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                let result = serde_json::to_vec(&work())?;
                File::from(writer).write_all(&result)
            }));
            sys::exit_now(0)
        }
        Fork::Parent(pid) => {
            drop(writer);
            let mut result = vec![];
            File::from(reader).read_to_end(&mut result)?;
            let status = rustix::process::waitpid(Some(pid), WaitOptions::empty())?;
            serde_json::from_slice(&result).map_err(|error| {
                io::Error::other(format!("the probe ended with {status:?}: {error}"))
            })
        }
    }
}
