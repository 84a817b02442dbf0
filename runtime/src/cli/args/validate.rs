//! The arguments of `lambent validate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lambent_images::ImageReference;

use super::{FunctionSettings, ImportChoice};
use crate::validate::Allowance;

/// `lambent validate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Validate {
    // As an attribute: in a comment, `docker://` looks like a bare address.
    #[arg(
        id = "image",
        required_unless_present = "explain",
        value_name = "IMAGE",
        help = "The images, in any of the forms that `lambent invoke` takes; name those that are \
                  deployed, since a stored image does not tell what index it came from"
    )]
    pub(in crate::cli) images: Vec<ImageReference>,

    #[command(flatten)]
    pub(in crate::cli) choice: ImportChoice,

    /// Start the environment too, until it waits for an event; needs what
    /// `lambent invoke` needs
    #[arg(long)]
    pub(in crate::cli) run: bool,

    /// Accept what a rule finds, in all of the image or in one file; can be repeated
    #[arg(long, value_name = "CODE[:PATH]=REASON")]
    pub(in crate::cli) allow: Vec<Allowance>,

    /// Read such lines from a file; empty ones and those that begin with # are skipped
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) allow_file: Vec<PathBuf>,

    /// What to print on standard output
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(in crate::cli) output: ReportFormat,

    /// Explain a rule, or all of them, and look at no image
    #[arg(long, value_name = "CODE|all", conflicts_with = "image")]
    pub(in crate::cli) explain: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) function: FunctionSettings,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ReportFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// `JUnit`'s XML, a test case for each rule
    Junit,
}
