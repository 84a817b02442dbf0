//! `lambent serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lambent_images::ImageReference;

use super::{FunctionSettings, ImportChoice, OutputFormat};
use crate::asynchronous::{Destination, EventInvokeConfig, MaximumEventAge, MaximumRetryAttempts};
use crate::configuration::MIN_MEMORY_LIMIT;
use crate::images::ImageRequest;

/// `lambent serve`.
#[derive(Debug, Args)]
pub(in super::super) struct Serve {
    #[command(flatten)]
    pub(in super::super) endpoint: Endpoint,

    #[command(flatten)]
    pub(in super::super) events: Events,

    #[command(flatten)]
    pub(in super::super) function: FunctionSettings,
}

/// What happens to asynchronous events (`X-Amz-Invocation-Type: Event`).
#[derive(Debug, Args)]
#[command(next_help_heading = "Asynchronous events")]
pub(in super::super) struct Events {
    /// Run an event again so often if the function fails, 0 to 2
    #[arg(long, value_name = "N", default_value_t)]
    pub(in super::super) retries: MaximumRetryAttempts,

    /// Seconds before the first such retry. The other waits keep their proportion:
    /// twice as long before the second, and a sixtieth to five times as long for
    /// want of concurrency
    #[arg(long, value_name = "S", default_value = "60", value_parser = parse_seconds)]
    pub(in super::super) retry_delay: Duration,

    /// Seconds after which an event is given up, 60 to 21600
    #[arg(long, value_name = "S", default_value_t)]
    pub(in super::super) max_event_age: MaximumEventAge,

    // As an attribute: in a comment, `file:` looks like a bare address.
    #[arg(
        help = "Where the record of an event goes that failed for good: file:PATH, a JSON \
                  object a line, or function:NAME"
    )]
    #[arg(long, value_name = "DESTINATION")]
    pub(in super::super) on_failure: Option<Destination>,

    /// Where the record of an event goes that succeeded
    #[arg(long, value_name = "DESTINATION")]
    pub(in super::super) on_success: Option<Destination>,
}

impl Events {
    /// Lambda's configuration of them.
    pub(in super::super) fn config(&self) -> EventInvokeConfig {
        EventInvokeConfig {
            maximum_retry_attempts: self.retries,
            maximum_event_age: self.max_event_age,
            on_success: self.on_success.clone(),
            on_failure: self.on_failure.clone(),
        }
    }
}

/// Seconds, with fractions.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds")?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(3_600) {
        return Err("more than an hour, 3600".to_owned());
    }
    Ok(duration)
}

/// `RUNTIME=IMAGE`.
fn parse_runtime_image(text: &str) -> Result<(String, ImageReference), String> {
    let (runtime, image) = text
        .split_once('=')
        .filter(|(runtime, _)| !runtime.is_empty())
        .ok_or("write RUNTIME=IMAGE, such as python3.12=my-python-image.tar")?;
    let image = image
        .parse()
        .map_err(|error: lambent_images::Error| error.to_string())?;
    Ok((runtime.to_owned(), image))
}

/// `NAME=VALUE`.
fn parse_parameter(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE, such as Stage=dev".to_owned())
}

impl Endpoint {
    /// What to fetch of an image of this command line.
    pub(in super::super) fn request(&self, image: &ImageReference) -> ImageRequest {
        ImageRequest {
            reference: image.clone(),
            platform: self.choice.platform(),
            name: None,
        }
    }
}

/// What is served, and where.
#[derive(Debug, Args)]
pub(in super::super) struct Endpoint {
    /// The image of a function that is served for as long as the command runs, as for
    /// `lambent invoke`, and followed as it changes; without one there are those that
    /// clients make, which are kept
    pub(in super::super) image: Option<ImageReference>,

    /// A SAM template, whose functions are served for as long as it has them; it, their
    /// code and their images are followed as they change
    #[arg(
        long,
        visible_alias = "template-file",
        value_name = "FILE",
        conflicts_with_all = [
            "image", "config", "memory", "timeout", "tmp", "env", "env_file", "entrypoint", "cmd",
            "workdir", "name",
        ]
    )]
    pub(in super::super) template: Option<PathBuf>,

    /// The value of a parameter of the template; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_parameter, requires = "template")]
    pub(in super::super) parameter: Vec<(String, String)>,

    /// The same without a template [default: lambent.toml, if it is here and neither an
    /// image nor a template is given]
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "image", "memory", "timeout", "tmp", "env", "env_file", "entrypoint", "cmd", "workdir",
            "name",
        ]
    )]
    pub(in super::super) config: Option<PathBuf>,

    /// The image that has a runtime of zip functions, such as
    /// python3.12=public.ecr.aws/lambda/python:3.12; can be repeated
    #[arg(long, value_name = "RUNTIME=IMAGE", value_parser = parse_runtime_image)]
    pub(in super::super) runtime_image: Vec<(String, ImageReference)>,

    /// Where to listen; port 0 is any free one [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(in super::super) listen: Option<SocketAddr>,

    /// Where the HTTP and REST APIs of a template or lambent.toml listen, if it has
    /// any [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(in super::super) http_api: Option<SocketAddr>,

    /// Seconds after which an unused environment is ended [default: 300]
    #[arg(long, value_name = "S")]
    pub(in super::super) idle: Option<u32>,

    /// Megabytes that the memory sizes of all environments together may come to: what is
    /// above is throttled. More than this host has is a bet that they do not all use
    /// what they may [default: 90 % of the host's memory]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(u64::from(MIN_MEMORY_LIMIT)..))]
    pub(in super::super) memory_limit: Option<u64>,

    /// Seconds between two looks at registries for images whose tags have moved; 0 is
    /// never [default: 60]
    #[arg(long, value_name = "S")]
    pub(in super::super) image_poll: Option<u32>,

    /// Seconds that running invocations may go on when the service is ended, with
    /// ctrl-C or `lambent stop`; a second ctrl-C does not wait [default: 2]
    #[arg(long, value_name = "S")]
    pub(in super::super) grace: Option<u32>,

    // As an attribute: in a comment, the address looks like a bare one.
    #[arg(
        long = "otlp-endpoint",
        value_name = "URL",
        help = "Send a trace of each invocation to the OpenTelemetry collector at this address, \
                over OTLP/HTTP, such as http://127.0.0.1:4318 [default: that of \
                OTEL_EXPORTER_OTLP_ENDPOINT, if it is set]"
    )]
    pub(in super::super) collector: Option<String>,

    /// How to write the log on standard error: Lambda's text, or its JSON, an object a
    /// line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Text)]
    pub(in super::super) log_format: OutputFormat,

    #[command(flatten)]
    pub(in super::super) choice: ImportChoice,
}
