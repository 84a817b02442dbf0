//! AWS's own client for Python, `boto3`, from its registry.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Run;
use crate::fixtures::cache::Cache;
use crate::fixtures::{self, Error};
use crate::serve::Served;

/// Its version; what it installs is cached beside the fixtures.
const VERSION: &str = "1.44.8";

/// Runs lines of Python with a client `c` of the endpoint `url`; `boto3`, `json`
/// and `sys` are imported. What they print is the output.
///
/// # Panics
/// If boto3 cannot be installed or Python cannot be started.
pub fn run(url: &str, code: &str) -> Run {
    let packages = install().expect("boto3 from PyPI");
    let code = format!(
        "import boto3, botocore, json, sys\n\
         from botocore.config import Config\n\
         def client(**more): return boto3.client('lambda', endpoint_url={url:?}, \
         region_name='us-east-1', aws_access_key_id='x', aws_secret_access_key='y', \
         config=Config(retries={{'total_max_attempts': 1}}, max_pool_connections=64, \
         read_timeout=120), **more)\n\
         c = client()\n{code}"
    );
    Command::new("python3")
        .args(["-c", &code])
        .env("PYTHONPATH", packages)
        .output()
        .expect("python3 runs")
        .into()
}

/// Runs a script against a service. What it leaves in `out` is returned.
///
/// # Panics
/// If a line fails, with the service's log.
pub fn out(served: &Served, code: &str) -> Value {
    let code = format!("{code}\nprint(json.dumps(out, default=str))");
    let run = run(&served.url(), &code);
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"))
}

/// The directory that it is installed in, beside the fixtures.
pub(crate) fn install() -> Result<PathBuf, Error> {
    python_package("boto3", VERSION)
}

/// Installs a package with what it needs, beside the fixtures.
pub(crate) fn python_package(name: &str, version: &str) -> Result<PathBuf, Error> {
    let directory = fixtures::directory().join(format!("{name}-{version}"));
    // One at a time: tests are processes of their own.
    let _cache = Cache::open(&fixtures::directory())?;
    if directory.join(name).is_dir() {
        return Ok(directory);
    }
    let staging = directory.with_extension("part");
    let status = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--root-user-action=ignore", "--no-compile", "--target"])
        .arg(&staging)
        .arg(format!("{name}=={version}"))
        .status()?;
    if !status.success() {
        return Err(format!("pip: {status}").into());
    }
    std::fs::rename(staging, &directory)?;
    Ok(directory)
}
