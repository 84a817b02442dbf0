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

/// What is served, and where.
#[derive(Debug, Args)]
pub(in super::super) struct Endpoint {
    /// The image of the function, as for `lambent invoke`
    pub(in super::super) image: ImageReference,

    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000")]
    pub(in super::super) listen: SocketAddr,

    /// Seconds after which an unused environment is ended
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub(in super::super) idle: u32,

    #[command(flatten)]
    pub(in super::super) choice: ImportChoice,
}
