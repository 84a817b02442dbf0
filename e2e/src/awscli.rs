//! The AWS CLI, from Python's registry.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::Run;
use crate::boto3::python_package;

/// Its version; what it installs is cached beside the fixtures.
const VERSION: &str = "1.46.3";

/// Runs `aws lambda …` in `directory` against the endpoint `url`, which it finds in
/// its environment as a user's would.
///
/// # Panics
/// If it cannot be installed or Python cannot be started.
pub fn lambda<S: AsRef<OsStr>>(
    url: &str,
    directory: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Run {
    let packages = python_package("awscli", VERSION).expect("the AWS CLI from PyPI");
    Command::new("python3")
        .args(["-m", "awscli", "lambda"])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("PYTHONPATH", packages)
        .env("AWS_ENDPOINT_URL_LAMBDA", url)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "x")
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .output()
        .expect("python3 runs")
        .into()
}
