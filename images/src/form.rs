//! [`Form`]: the two ways in which the store keeps a layer ready to mount.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, quoted};

/// How the content of layers is kept in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// The raw tar stream of each layer and one EROFS index for each image:
    /// nothing is unpacked. Needs Linux 6.12 and the right to mount.
    Erofs,
    /// A directory for each layer, stacked by overlayfs.
    Directory,
}

impl FromStr for Form {
    type Err = Error;

    /// Parses `erofs` or `directory`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "erofs" => Ok(Self::Erofs),
            "directory" => Ok(Self::Directory),
            other => Err(Error::invalid(format!(
                "{} is no form of stored layers; there are erofs and directory",
                quoted(other)
            ))),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Erofs => "erofs",
            Self::Directory => "directory",
        })
    }
}
