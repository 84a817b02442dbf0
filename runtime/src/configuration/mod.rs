//! What a configuration file wants to be served: functions, layers, HTTP routes.
//! Pure; `template/` and `toml.rs` make it from text, `configured/` makes it real.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the same whatever the file was |
//! | `route.rs` | routes of an HTTP API, and which of them a request takes |
//! | `cors.rs` | who may call from other origins |
//! | `toml.rs`, `keys.rs` | `lambent.toml`, and what an unknown key may have meant |

mod cors;
mod keys;
mod route;
mod toml;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;

pub(crate) use self::cors::Cors;
pub(crate) use self::keys::unknown;
pub(crate) use self::route::{Api, ApiKind, Route, RouteKey, Taken};
pub(crate) use self::toml::parse as parse_toml;
use crate::model::FunctionName;

/// All that a file wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) functions: Vec<ConfiguredFunction>,
    pub(crate) api: Api,
    /// Images that have runtimes, by `Runtime`; text as in the file.
    pub(crate) runtime_images: BTreeMap<String, String>,
    pub(crate) endpoint: EndpointSettings,
    /// What has no effect here, to be said once.
    pub(crate) warnings: Vec<String>,
}

/// The smallest limit of the memory of all environments, in MB: that of one function.
pub(crate) const MIN_MEMORY_LIMIT: u32 = 128;

/// Settings of the service; the command line has precedence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndpointSettings {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) http_api: Option<SocketAddr>,
    /// Seconds.
    pub(crate) idle: Option<u32>,
    /// Seconds.
    pub(crate) grace: Option<u32>,
    /// Seconds; 0 is never.
    pub(crate) image_poll: Option<u32>,
    /// Of all environments together, in MB.
    pub(crate) memory_limit: Option<u64>,
    /// Where traces go, as text.
    pub(crate) otlp_endpoint: Option<String>,
}

/// A function as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfiguredFunction {
    pub(crate) name: FunctionName,
    /// Where it is in the file, for errors.
    pub(crate) place: Place,
    /// Where members of `request` are, as far as they are written.
    pub(crate) places: BTreeMap<String, Place>,
    /// Members of `CreateFunction`, without `Code` and `Layers`.
    pub(crate) request: Value,
    pub(crate) code: CodeSource,
    pub(crate) layers: Vec<LayerSource>,
    pub(crate) reserved: Option<i64>,
    /// Environments of the alias that are kept initialised.
    pub(crate) provisioned: Option<i64>,
    /// An alias that leads to a version of what is served.
    pub(crate) alias: Option<String>,
    /// Members of `CreateFunctionUrlConfig`.
    pub(crate) url: Option<Value>,
}

impl ConfiguredFunction {
    /// Where a member of the request is; the function itself without one.
    pub(crate) fn place_of(&self, member: Option<&str>) -> &Place {
        let place = member.and_then(|member| self.places.get(member));
        place.unwrap_or(&self.place)
    }
}

/// Where code is; paths are as in the file, relative to its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CodeSource {
    /// An image reference.
    Image(String),
    /// A directory, or a zip archive.
    Files(String),
    /// A program in the file itself.
    Inline {
        /// The name of its file in the code, without a directory.
        file: String,
        /// What is in it.
        text: String,
    },
}

/// A layer of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LayerSource {
    /// A directory or a zip archive that this file names.
    Files {
        /// The layer's name.
        name: String,
        /// As in the file.
        content: String,
    },
    /// A layer version that was published.
    Arn(String),
}

/// A place in a file: what it is called there, and its line, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) line: Option<usize>,
}

impl Place {
    /// A part of this place, in the same line.
    pub(crate) fn part(&self, name: &str) -> Self {
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Self {
            path,
            line: self.line,
        }
    }

    /// The same in another line.
    pub(crate) fn at(self, line: usize) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }

    /// An error there.
    pub(crate) fn error(&self, message: impl Into<String>) -> ConfigurationError {
        ConfigurationError {
            place: self.clone(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line) {
            ("", None) => formatter.write_str("the file"),
            ("", Some(line)) => write!(formatter, "line {line}"),
            (path, None) => formatter.write_str(path),
            (path, Some(line)) => write!(formatter, "{path} (line {line})"),
        }
    }
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub(crate) struct ConfigurationError {
    place: Place,
    message: String,
}
