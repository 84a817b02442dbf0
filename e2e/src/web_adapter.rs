//! AWS's Lambda Web Adapter, an extension that takes events for a web application, from
//! its registry.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::fixtures::target_directory;

const CRATE: &str = "lambda_web_adapter";
const VERSION: &str = "=1.0.0-rc1";

/// Builds the program with the dependencies of its release, unless it is built. Statically
/// linked: images need nothing for it.
///
/// # Panics
/// If it cannot be built.
pub fn built() -> PathBuf {
    let target = target_directory().join("clients");
    let root = target.join(CRATE);
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "--locked", "--quiet", "--debug", "--no-track"])
        .args(["--force", "--version", VERSION, CRATE, "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(&target)
        // Else the flags are for procedural macros too, which cannot be static.
        .args([
            "--target",
            &format!("{}-unknown-linux-gnu", env::consts::ARCH),
        ])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the adapter cannot be built: {built}");
    root.join("bin/lambda-adapter")
}
