//! The arguments of `lambent test`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lambent_images::ImageReference;

use super::ImportChoice;

/// `lambent test`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// Files with cases, as YAML or JSON; those of AWS's containerized test runner too
    #[arg(value_name = "SUITE", required = true)]
    pub(in crate::cli) suites: Vec<PathBuf>,

    // As an attribute: in a comment, `docker://` looks like a bare address.
    #[arg(
        long,
        value_name = "IMAGE",
        help = "Test this image whatever the suites name, in any of the forms that `lambent \
                invoke` takes"
    )]
    pub(in crate::cli) image: Option<ImageReference>,

    /// Mount a directory or a zip archive over /var/task, whatever the suites name, as
    /// --task-root of AWS's runner does
    #[arg(long, value_name = "DIR|ZIP")]
    pub(in crate::cli) task_root: Option<PathBuf>,

    /// Run only the cases that have this in their name; can be repeated
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) filter: Vec<String>,

    /// So many environments at a time [default: the host's CPUs]; 1 where times are
    /// what is tested
    #[arg(long, short, value_name = "N")]
    pub(in crate::cli) jobs: Option<NonZeroU32>,

    /// Write what came into the suites, in the place of what was expected; everything
    /// else in them stays as it is
    #[arg(long)]
    pub(in crate::cli) update: bool,

    /// What to print on standard output
    #[arg(long, short, value_enum, default_value_t = TestFormat::Text)]
    pub(in crate::cli) output: TestFormat,

    /// Write the results as `JUnit`'s XML to this file, whatever --output is
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,

    /// Refuse, with status 4 and before anything runs, what this host would not
    /// enforce as Lambda does, instead of warning; `lambent doctor` says what mends it
    #[arg(long)]
    pub(in crate::cli) strict: bool,

    #[command(flatten)]
    pub(in crate::cli) choice: ImportChoice,
}

/// Forms of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TestFormat {
    /// For people: a line for each case, and what differs where one fails
    Text,
    /// One JSON object
    Json,
    /// `JUnit`'s XML
    Junit,
}
