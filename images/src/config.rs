//! [`ImageConfig`]: how an image wants to be run. Untrusted text, kept as it is.

use std::collections::BTreeMap;

use oci_spec::image as oci;

use crate::error::{Error, Result};
use crate::manifest::json;
use crate::{Digest, Platform};

/// The part of an image's configuration that matters for running it.
///
/// Nothing in here has been interpreted: the caller decides what of it counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImageConfig {
    /// CPU architecture in OCI's names, for example `amd64`.
    pub architecture: String,
    /// The architecture's level, for example `v8`, if the image states one.
    pub variant: Option<String>,
    /// Operating system, for example `linux`.
    pub os: String,
    /// Environment, `KEY=VALUE` each, in the image's order.
    pub env: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program when there is no entry point.
    pub cmd: Vec<String>,
    /// Directory to start in.
    pub working_dir: Option<String>,
    /// User to run as; Lambda ignores it.
    pub user: Option<String>,
    /// When the image was built, as whoever built it says: RFC 3339, unchecked.
    pub created: Option<String>,
    /// Free-form annotations of whoever built the image.
    pub labels: BTreeMap<String, String>,
}

impl ImageConfig {
    /// The platform that the image says it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }
}

/// Parses an image configuration and its diff IDs, base first.
pub(crate) fn parse(bytes: &[u8]) -> Result<(ImageConfig, Vec<Digest>)> {
    let raw: oci::ImageConfiguration = json("image configuration", bytes)?;
    let diff_ids = raw
        .rootfs()
        .diff_ids()
        .iter()
        .map(|diff_id| diff_id.parse())
        .collect::<Result<_>>()?;
    let run = raw.config().clone().unwrap_or_default();
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let config = ImageConfig {
        architecture: raw.architecture().to_string(),
        variant: filled(raw.variant()),
        os: raw.os().to_string(),
        env: run.env().clone().unwrap_or_default(),
        entrypoint: run.entrypoint().clone().unwrap_or_default(),
        cmd: run.cmd().clone().unwrap_or_default(),
        working_dir: filled(run.working_dir()),
        user: filled(run.user()),
        created: raw.created().clone(),
        labels: run
            .labels()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
    };
    let words = config
        .env
        .iter()
        .chain(&config.entrypoint)
        .chain(&config.cmd);
    let words = words.chain(&config.working_dir).chain(&config.user);
    if words.into_iter().any(|word| word.contains('\0')) {
        return Err(Error::invalid(
            "the image configuration has a NUL byte in its environment, arguments, \
             working directory or user, which no program can be given",
        ));
    }
    Ok((config, diff_ids))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn dockers_nulls_are_empty() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":null,
            "Entrypoint":["/x"],"WorkingDir":"","User":"","Labels":null,"ExposedPorts":null,
            "Volumes":{"/":{}},"OnBuild":null,"Hostname":""},"rootfs":{"type":"layers",
            "diff_ids":[]},"history":null}"#;
        let (config, diff_ids) = parse(text.as_bytes()).unwrap();
        assert_eq!(config.entrypoint, ["/x"]);
        assert_eq!((config.working_dir, config.user), (None, None));
        assert!(config.env.is_empty() && diff_ids.is_empty());
    }

    #[test]
    fn a_nul_cannot_be_passed_on() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=\u0000"]},
            "rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert_eq!(
            parse(text.as_bytes()).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}
