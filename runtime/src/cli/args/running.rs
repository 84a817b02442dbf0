//! `lambent ps`, `lambent logs` and `lambent stop`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use clap::Args;

use super::OutputFormat;
use crate::model::FunctionName;

/// `lambent ps`.
#[derive(Debug, Args)]
pub(in super::super) struct Ps {
    /// What to print: tables, or one JSON object
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in super::super) output: OutputFormat,
}

/// `lambent logs`.
#[derive(Debug, Args)]
pub(in super::super) struct Logs {
    /// Of this function only [default: of all]
    pub(in super::super) function: Option<FunctionName>,

    /// Go on with the lines that are yet to come
    #[arg(long, short)]
    pub(in super::super) follow: bool,

    /// Only lines from then on: 30s, 10m, 2h or 1d ago, or a time such as
    /// 2026-11-24T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(in super::super) since: Option<Since>,

    /// What to print: lines, or one JSON object for each
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(in super::super) output: OutputFormat,
}

/// A time, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Since {
    Ago(Duration),
    At(SystemTime),
}

impl Since {
    /// The time that it means now.
    pub(in super::super) fn time(self) -> SystemTime {
        match self {
            Self::Ago(ago) => SystemTime::now()
                .checked_sub(ago)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ago) = ago(text) {
            return Ok(Self::Ago(ago));
        }
        text.parse::<DateTime<Utc>>()
            .map(|time| Self::At(time.into()))
            .map_err(|_| "neither 30s, 10m, 2h or 1d, nor a time with its zone".to_owned())
    }
}

fn ago(text: &str) -> Option<Duration> {
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u32 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [
            ("0s", 0),
            ("30s", 30),
            ("10m", 600),
            ("2h", 7_200),
            ("1d", 86_400),
        ] {
            let expected = Since::Ago(Duration::from_secs(seconds));
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(3_600);
        for text in ["1970-01-01T01:00:00Z", "1970-01-01T02:00:00+01:00"] {
            assert_eq!(text.parse(), Ok(Since::At(at)), "{text}");
        }
        for bad in ["", "s", "-1s", "1w", "10", "1970-01-01", "ü"] {
            assert!(bad.parse::<Since>().is_err(), "{bad}");
        }
    }
}
