//! The arguments of `lambent layer`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::{EXIT_STATUSES, OutputFormat};

/// `lambent layer`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LayerCommand {
    /// Publish a directory or a zip archive as the next version of a layer
    #[command(after_help = EXIT_STATUSES)]
    Publish(PublishLayer),
    /// List the layers that are kept
    Ls(ListLayers),
    /// Remove versions of layers; functions that have them keep them
    Rm(RemoveLayers),
}

/// `lambent layer publish`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PublishLayer {
    // As an attribute: these are paths, not code.
    #[arg(
        value_name = "DIR|ZIP",
        help = "What functions find at /opt, as a directory or a zip archive: Python's modules \
                in python/, Node's in nodejs/node_modules/, programs in bin/, libraries in lib/"
    )]
    pub(in crate::cli) content: PathBuf,

    /// The layer's name
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) name: String,

    /// What it is
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(in crate::cli) description: String,

    /// A runtime that it is for, such as python3.12; can be repeated
    #[arg(long, value_name = "RUNTIME")]
    pub(in crate::cli) compatible_runtime: Vec<String>,

    /// What to print on standard output: the ARN of the version, or what is
    /// known of it as JSON
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}

/// `lambent layer ls`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListLayers {
    /// A table, or one JSON object a line
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}

/// `lambent layer rm`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveLayers {
    /// NAME:VERSION or the ARN of a version
    #[arg(value_name = "NAME:VERSION", required = true)]
    pub(in crate::cli) versions: Vec<String>,
}

/// Where a layer of a function comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum LayerSource {
    /// `NAME:VERSION`, or an ARN.
    Published(String),
    /// A directory or an archive.
    Path(PathBuf),
}

impl FromStr for LayerSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_version = text.rsplit_once(':').is_some_and(|(name, version)| {
            !name.contains('/')
                && !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_digit())
        });
        Ok(if is_version {
            Self::Published(text.to_owned())
        } else {
            Self::Path(text.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_names_or_paths() {
        for text in [
            "pillow:1",
            "arn:aws:lambda:us-east-1:123456789012:layer:pillow:12",
        ] {
            assert_eq!(text.parse(), Ok(LayerSource::Published(text.to_owned())));
        }
        for text in [
            "pillow",
            "./pillow:1",
            "layer.zip",
            "a:",
            "/a:1",
            "pillow:x",
        ] {
            assert_eq!(text.parse(), Ok(LayerSource::Path(text.into())), "{text}");
        }
    }
}
