//! What is measured, a file for each: see the table in [`super`].

pub(super) mod burst;
pub(super) mod cold;
pub(super) mod command;
pub(super) mod density;
pub(super) mod invoke;
pub(super) mod throughput;
pub(super) mod warm;

use super::endpoint::Answer;
use crate::fixtures::Error;

/// Of functions that compute with a CPU of their own, as all peers have.
const FULL_CPU_MB: u32 = 1_769;
/// Of functions that are there to be many.
const LEAST_MB: u32 = 128;

/// When the program of a first invocation was started, as it says.
///
/// # Errors
/// It was no first invocation.
fn started_ns(answer: &Answer) -> Result<i64, Error> {
    let said = answer.json()?;
    if said["count"] != 1 {
        return Err(format!("{said} is not from a cold start").into());
    }
    said["atNs"]
        .as_i64()
        .ok_or_else(|| format!("{said} has no time").into())
}
