//! The arguments of `lambent tune`, and what commands that measure have in common.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use lambent_images::ImageReference;

use super::{ImportChoice, OtherSettings};
use crate::model::MemorySize;
use crate::tune::{PriceOverride, SizeChoice};

/// `lambent tune`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Tune {
    // As an attribute: in a comment, `docker://` looks like a bare address.
    #[arg(help = "The image, in any of the forms that `lambent invoke` takes")]
    pub(in crate::cli) image: ImageReference,

    #[command(flatten)]
    pub(in crate::cli) choice: ImportChoice,

    /// The memory sizes to try in MB, with commas between them [default:
    /// 128,256,512,1024,1769,3008 and on to 10240, as far as this host has the CPUs]
    #[arg(long, short, value_name = "MB,MB…", value_delimiter = ',')]
    memory: Vec<MemorySize>,

    /// Try the sizes from 128 MB on in steps of so many MB
    #[arg(long, value_name = "MB", conflicts_with = "memory",
          value_parser = clap::value_parser!(u32).range(1..=10_112))]
    step: Option<u32>,

    /// Work out what sizes would take whose CPUs this host does not have
    #[arg(long)]
    pub(in crate::cli) extrapolate: bool,

    /// Execution environments for each size, each with a cold start
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::cli) rounds: u32,

    /// Warm invocations in each environment
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) warm: u32,

    /// The prices of this region [default: `AWS_REGION`, else us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(in crate::cli) region: Option<String>,

    /// A price in US dollars, in place of the table's: gb-second, million-requests or
    /// storage-gb-second; can be repeated
    #[arg(long, value_name = "NAME=USD")]
    pub(in crate::cli) price: Vec<PriceOverride>,

    #[command(flatten)]
    pub(in crate::cli) measurement: Measurement,

    #[command(flatten)]
    pub(in crate::cli) function: OtherSettings,
}

impl Tune {
    /// Which sizes are meant.
    pub(in crate::cli) fn sizes(&self) -> SizeChoice {
        match (self.step, self.memory.is_empty()) {
            (Some(step), _) => SizeChoice::Step(step),
            (None, true) => SizeChoice::Usual,
            (None, false) => SizeChoice::List(self.memory.clone()),
        }
    }
}

/// What is invoked with, and where the findings go.
#[derive(Debug, Args)]
pub(in crate::cli) struct Measurement {
    /// Read the event from this file (- for standard input)
    #[arg(long, short, value_name = "FILE", conflicts_with = "payload")]
    pub(in crate::cli) event: Option<PathBuf>,

    /// The event as JSON text [default: {}]
    #[arg(long, short, value_name = "JSON")]
    pub(in crate::cli) payload: Option<String>,

    /// Decides on the order of what is measured: the same seed, the same order
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,

    /// What to print on standard output
    #[arg(long, short, value_enum, default_value_t = ReportOutput::Text)]
    pub(in crate::cli) output: ReportOutput,

    /// Draw a picture: NAME.svg or NAME.png; can be repeated
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) plot: Vec<PictureFile>,

    /// Write an HTML page with table and picture, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) report: Option<PathBuf>,
}

/// Forms of what was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ReportOutput {
    /// A table and sentences
    Text,
    /// One JSON object, with every invocation
    Json,
    /// A line for each row of the table
    Csv,
}

/// A file for a picture, whose name tells its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum PictureFile {
    Svg(PathBuf),
    Png(PathBuf),
}

impl FromStr for PictureFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        match extension.as_deref().and_then(|text| text.to_str()) {
            Some("svg") => Ok(Self::Svg(path)),
            Some("png") => Ok(Self::Png(path)),
            _ => Err(format!("\"{text}\" ends neither in .svg nor in .png")),
        }
    }
}

impl PictureFile {
    /// Its name.
    pub(in crate::cli) fn path(&self) -> &Path {
        match self {
            Self::Svg(path) | Self::Png(path) => path,
        }
    }
}
