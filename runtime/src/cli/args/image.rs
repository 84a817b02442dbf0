//! The arguments of `lambent image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lambent_images::{ImageName, ImageReference, Platform};

use super::{EXIT_STATUSES, OutputFormat};

/// `lambent image`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImageCommand {
    /// Bring an image into the store
    #[command(after_help = EXIT_STATUSES)]
    Pull(Pull),
    /// Bring images from archives and layouts into the store
    #[command(after_help = EXIT_STATUSES)]
    Load(Load),
    /// List the images in the store
    Ls(Ls),
    /// Show what is known about an image, as JSON
    Inspect(Inspect),
    /// Write an image as an OCI runtime bundle, for runc and crun
    #[command(after_help = EXIT_STATUSES)]
    Unpack(Unpack),
    /// Check stored images for damage; importing them again repairs what is found
    #[command(after_help = EXIT_STATUSES)]
    Verify(Verify),
    /// Remove names, and images that have none left
    Rm(Rm),
    /// Remove everything from the store that no image needs
    Prune(Prune),
}

/// `lambent image pull`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pull {
    /// Where the image is, in any of the forms that `lambent invoke` takes
    #[arg(value_name = "REF")]
    pub(in crate::cli) reference: ImageReference,

    #[command(flatten)]
    pub(in crate::cli) import: ImportSettings,
}

/// `lambent image load`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Load {
    /// Archives and layouts: paths, or oci:DIR[:TAG], oci-archive:FILE[:TAG],
    /// docker-archive:FILE[:REF]
    #[arg(value_name = "FILE", required = true)]
    pub(in crate::cli) files: Vec<ImageReference>,

    #[command(flatten)]
    pub(in crate::cli) import: ImportSettings,
}

/// The settings of every import.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportSettings {
    /// Call the image this in the store; whatever was called so loses the name
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) name: Option<ImageName>,

    #[command(flatten)]
    pub(in crate::cli) choice: ImportChoice,

    /// What to print on standard output: digest and names, or one JSON object a
    /// line
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}

/// Settings that an import has wherever it happens.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportChoice {
    /// Take the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// Show no progress
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
}

impl ImportChoice {
    /// The platform that was asked for, else this machine's.
    pub(in crate::cli) fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}

/// `lambent image unpack`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Unpack {
    /// The name or digest of a stored image, or any other image in the forms that
    /// `lambent invoke` takes
    pub(in crate::cli) image: ImageReference,

    /// A new or empty directory, which gets rootfs/ and config.json
    #[arg(value_name = "DIR")]
    pub(in crate::cli) directory: PathBuf,

    #[command(flatten)]
    pub(in crate::cli) choice: ImportChoice,
}

/// `lambent image ls`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ls {
    /// Print digests only
    #[arg(long, short, conflicts_with = "output")]
    pub(in crate::cli) quiet: bool,

    /// A table, or one JSON object a line
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}

/// `lambent image inspect`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// Names, digests, or the first six or more digits of a digest
    #[arg(value_name = "IMAGE", required = true)]
    pub(in crate::cli) images: Vec<String>,
}

/// `lambent image verify`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Names or digests [default: everything in the store]
    #[arg(value_name = "IMAGE")]
    pub(in crate::cli) images: Vec<String>,

    /// Show no progress
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,

    /// One line for each damaged thing, as text or as a JSON object
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}

/// `lambent image rm`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rm {
    /// Names to take away, or digests of images to remove with all their names
    #[arg(value_name = "IMAGE", required = true)]
    pub(in crate::cli) images: Vec<String>,

    /// What was removed, as text or as a JSON object
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}

/// `lambent image prune`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Prune {
    /// Remove all images as well, except those in use
    #[arg(long, short)]
    pub(in crate::cli) all: bool,

    /// What was removed, as text or as a JSON object
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in crate::cli) output: OutputFormat,
}
