//! The configuration file of `lambent serve`: which one, and what of a service
//! follows it beside the functions.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::args::Endpoint;
use super::exit_status::CommandError;
use super::output;
use crate::configuration::{Api, Configuration, EndpointSettings};
use crate::configured::{ConfigurationFile, Identity, Listener, TOML};
use crate::control_plane::RuntimeImages;
use crate::otlp::OtlpSettings;
use crate::server::http_api::HttpApi;
use crate::service::region;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) file: ConfigurationFile,
    pub(super) identity: Identity,
    pub(super) configuration: Configuration,
}

/// Reads the file of the command line, else `lambent.toml` of the working directory
/// if there is no image either.
pub(super) fn choose(command: &Endpoint) -> Result<Option<Chosen>, CommandError> {
    let file = if let Some(path) = &command.template {
        let parameters = command.parameter.iter().cloned().collect();
        ConfigurationFile::template(path.clone(), parameters, region())
    } else if let Some(path) = &command.config {
        ConfigurationFile::toml(path.clone(), region())
    } else if command.image.is_none() && Path::new(TOML).is_file() {
        output::progress(&format!("there is a {TOML} here, which is served"));
        ConfigurationFile::toml(TOML.into(), region())
    } else {
        return Ok(None);
    };
    let identity = file.identity();
    let configuration = file.read().map_err(CommandError::Usage)?;
    Ok(Some(Chosen {
        file,
        identity,
        configuration,
    }))
}

/// What the command line says of the service, else the file, else what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) listen: SocketAddr,
    pub(super) http_api: SocketAddr,
    /// Seconds.
    pub(super) idle: u32,
    /// Seconds.
    pub(super) grace: u32,
    /// Between two looks at registries; `None` is never.
    pub(super) image_poll: Option<Duration>,
    /// Of all environments together, in MB; `None` is what is usual.
    pub(super) memory_limit: Option<u64>,
}

impl Settings {
    pub(super) fn of(command: &Endpoint, chosen: Option<&Chosen>) -> Self {
        let file = chosen.map(|chosen| &chosen.configuration.endpoint);
        let file = file.cloned().unwrap_or_default();
        Self::merged(command, &file)
    }

    fn merged(command: &Endpoint, file: &EndpointSettings) -> Self {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            listen: command
                .listen
                .or(file.listen)
                .unwrap_or_else(|| local(9000)),
            // As `sam local start-api`.
            http_api: command
                .http_api
                .or(file.http_api)
                .unwrap_or_else(|| local(3000)),
            idle: command.idle.or(file.idle).unwrap_or(300),
            grace: command.grace.or(file.grace).unwrap_or(2),
            image_poll: Some(command.image_poll.or(file.image_poll).unwrap_or(60))
                .filter(|seconds| *seconds > 0)
                .map(|seconds| Duration::from_secs(seconds.into())),
            memory_limit: command.memory_limit.or(file.memory_limit),
        }
    }
}

/// Where traces go, if anybody wants them.
pub(super) fn collector(
    command: &Endpoint,
    chosen: Option<&Chosen>,
) -> Result<Option<OtlpSettings>, CommandError> {
    let file = chosen.and_then(|chosen| chosen.configuration.endpoint.otlp_endpoint.as_deref());
    OtlpSettings::find(command.collector.as_deref(), file, |name| {
        std::env::var(name).ok()
    })
    .map_err(CommandError::Usage)
}

/// The images of runtimes: the command line's before the file's.
pub(super) fn runtime_images(
    command: &Endpoint,
    chosen: Option<&Chosen>,
) -> Result<RuntimeImages, CommandError> {
    let mut images: RuntimeImages = BTreeMap::new();
    if let Some(chosen) = chosen {
        for (runtime, image) in &chosen.configuration.runtime_images {
            let parsed = chosen.file.image(image).parse();
            let parsed = parsed.map_err(|error: lambent_images::Error| {
                let path = chosen.file.path().display();
                CommandError::Usage(format!("{path}: runtime_images.{runtime}: {error}"))
            })?;
            images.insert(runtime.clone(), parsed);
        }
    }
    images.extend(command.runtime_image.iter().cloned());
    Ok(images)
}

/// What follows the file beside the functions: HTTP routes.
pub(super) struct Fronts {
    pub(super) http_api: Arc<HttpApi>,
    pub(super) address: SocketAddr,
}

impl Fronts {
    /// Serves the routes of a file. What to say of it, or why it cannot be.
    pub(super) async fn open(&self, api: &Api) -> Result<Option<String>, String> {
        self.http_api.set(api.clone());
        if self.http_api.listens() || api.routes.is_empty() {
            return Ok(None);
        }
        let address = self.http_api.listen(self.address).await.map_err(|error| {
            format!(
                "cannot listen on {} for the HTTP API: {error}. Choose another address with \
                     --http-api",
                self.address
            )
        })?;
        let mut lines = vec![format!("HTTP API at http://{address}")];
        let routes = api.routes.iter();
        lines.extend(routes.map(|route| format!("  {} → {}", route.key, route.function.name)));
        if !address.ip().is_loopback() {
            lines.push(reachable(address));
        }
        Ok(Some(lines.join("\n")))
    }
}

/// The warning about an address that is not of this machine only.
pub(super) fn reachable(address: SocketAddr) -> String {
    format!(
        "warning: {address} can be reached from other machines, and whoever reaches it may make \
         and invoke functions: signatures are not checked"
    )
}

impl Listener for Fronts {
    fn changed<'a>(
        &'a self,
        configuration: &'a Configuration,
    ) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> {
        Box::pin(async move {
            match self.open(&configuration.api).await {
                Ok(line) => line,
                Err(error) => Some(format!("warning: {error}")),
            }
        })
    }
}
