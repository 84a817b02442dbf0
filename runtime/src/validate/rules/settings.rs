//! What the image says about how it wants to be run.

use lambent_images::Image;

use super::super::Finding;
use super::super::catalogue::{IMAGE_SETTINGS_SIZE, RESERVED_VARIABLE, USER_IGNORED};
use super::super::finding::shown;
use crate::model::is_reserved_variable;

/// Lambda's limit for `ENTRYPOINT`, `CMD`, `WORKDIR` and `ENV` together, in bytes.
const SETTINGS_BYTES_MAX: usize = 16 * 1024;

pub(super) fn check(image: &Image) -> Vec<Finding> {
    let config = &image.config;
    let mut findings = Vec::new();
    let texts = config.entrypoint.iter().chain(&config.cmd);
    let texts = texts.chain(&config.env).chain(&config.working_dir);
    let bytes: usize = texts.map(String::len).sum();
    if bytes > SETTINGS_BYTES_MAX {
        findings.push(Finding::new(
            &IMAGE_SETTINGS_SIZE,
            format!("ENTRYPOINT, CMD, WORKDIR and ENV have {bytes} bytes, of {SETTINGS_BYTES_MAX}"),
        ));
    }
    let names = config.env.iter().filter_map(|text| text.split_once('='));
    let reserved: Vec<_> = names
        .map(|(name, _)| name)
        .filter(|name| is_reserved_variable(name))
        // Lambda's own base images set these, to what Lambda sets.
        .filter(|name| !["LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"].contains(name))
        .collect();
    if !reserved.is_empty() {
        findings.push(Finding::new(
            &RESERVED_VARIABLE,
            format!("ENV sets {}", reserved.join(", ")),
        ));
    }
    let root = ["root", "0", "root:root", "0:0"];
    let user = config.user.as_deref().filter(|user| !root.contains(user));
    findings.extend(user.map(|user| {
        let message = format!("USER {} has no effect", shown(user));
        Finding::new(&USER_IGNORED, message)
    }));
    findings
}
