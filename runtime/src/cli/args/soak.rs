//! The arguments of `lambent soak`.

use clap::Args;
use lambent_images::ImageReference;

use super::{FunctionSettings, ImportChoice, Measurement};

/// `lambent soak`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Soak {
    // As an attribute: in a comment, `docker://` looks like a bare address.
    #[arg(help = "The image, in any of the forms that `lambent invoke` takes")]
    pub(in crate::cli) image: ImageReference,

    #[command(flatten)]
    pub(in crate::cli) choice: ImportChoice,

    /// Invocations of each environment
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    pub(in crate::cli) invocations: u32,

    /// Execution environments, which are invoked in turn, in an order by chance
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(in crate::cli) environments: u32,

    /// Look at an environment after every so many invocations [default: about 500
    /// times in all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    every: Option<u32>,

    /// What runs out after more invocations than these is shown, and no failure
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(0..))]
    pub(in crate::cli) horizon: u32,

    #[command(flatten)]
    pub(in crate::cli) measurement: Measurement,

    #[command(flatten)]
    pub(in crate::cli) function: FunctionSettings,
}

impl Soak {
    /// After how many invocations an environment is looked at.
    pub(in crate::cli) fn every(&self) -> u64 {
        const LOOKS: u32 = 500;
        let usual = || self.invocations.div_ceil(LOOKS);
        self.every.unwrap_or_else(usual).into()
    }
}
