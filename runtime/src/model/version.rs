//! [`Version`]: which state of a function's code and configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `$LATEST`, which changes, or a published number, which does not.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum Version {
    /// `$LATEST`.
    #[default]
    Latest,
    /// 1 and up, never given twice.
    Number(u64),
}

/// A text that is neither `$LATEST` nor a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is neither $LATEST nor the number of a version", .0.escape_debug())]
pub struct InvalidVersion(String);

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text == "$LATEST" {
            return Ok(Self::Latest);
        }
        let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number
            .map(Self::Number)
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => formatter.write_str("$LATEST"),
            Self::Number(number) => write!(formatter, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for text in ["$LATEST", "1", "42"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "0",
            "01",
            "-1",
            "+1",
            "latest",
            "$latest",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
