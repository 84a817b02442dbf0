//! `lambent serve`.

use std::net::SocketAddr;

use clap::Args;
use lambent_images::ImageReference;

use super::{FunctionSettings, ImportChoice};

/// `lambent serve`.
#[derive(Debug, Args)]
pub(in super::super) struct Serve {
    #[command(flatten)]
    pub(in super::super) endpoint: Endpoint,

    #[command(flatten)]
    pub(in super::super) function: FunctionSettings,
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

/// What is served, and where.
#[derive(Debug, Args)]
pub(in super::super) struct Endpoint {
    /// The image of a function that is served for as long as the command runs, as for
    /// `lambent invoke`; without one there are those that clients make, which are kept
    pub(in super::super) image: Option<ImageReference>,

    /// The image that has a runtime of zip functions, such as
    /// python3.12=public.ecr.aws/lambda/python:3.12; can be repeated
    #[arg(long, value_name = "RUNTIME=IMAGE", value_parser = parse_runtime_image)]
    pub(in super::super) runtime_image: Vec<(String, ImageReference)>,

    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000")]
    pub(in super::super) listen: SocketAddr,

    /// Seconds after which an unused environment is ended
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub(in super::super) idle: u32,

    #[command(flatten)]
    pub(in super::super) choice: ImportChoice,
}
