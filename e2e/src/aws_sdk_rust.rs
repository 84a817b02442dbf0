//! AWS's own client for Rust: a program that uses it (`e2e/clients/aws-sdk-rust`).

use std::process::Command;

use crate::{Run, clients};

/// Builds the program, unless it is built, and runs it on an endpoint and an image.
///
/// # Panics
/// If it cannot be built or started.
pub fn run(url: &str, image: &str) -> Run {
    Command::new(clients::built("aws-sdk-rust"))
        .args([url, image])
        .output()
        .expect("the client runs")
        .into()
}
