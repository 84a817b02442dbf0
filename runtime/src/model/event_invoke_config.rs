//! What a function wants to happen to its asynchronous events.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FunctionName;

/// A setting outside of what Lambda accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(String);

/// `MaximumRetryAttempts`: how often a function error is tried again, 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaximumRetryAttempts(u32);

impl MaximumRetryAttempts {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for MaximumRetryAttempts {
    fn default() -> Self {
        Self(2)
    }
}

impl FromStr for MaximumRetryAttempts {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        whole(text, "the number of retries", 0..=2).map(Self)
    }
}

impl TryFrom<u32> for MaximumRetryAttempts {
    type Error = InvalidSetting;

    fn try_from(number: u32) -> Result<Self, InvalidSetting> {
        number.to_string().parse()
    }
}

impl From<MaximumRetryAttempts> for u32 {
    fn from(setting: MaximumRetryAttempts) -> Self {
        setting.0
    }
}

impl fmt::Display for MaximumRetryAttempts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// `MaximumEventAgeInSeconds`: how long an event may wait in all, 60 to 21,600.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaximumEventAge(u32);

impl MaximumEventAge {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for MaximumEventAge {
    fn default() -> Self {
        Self(21_600)
    }
}

impl FromStr for MaximumEventAge {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        whole(text, "the maximum event age in seconds", 60..=21_600).map(Self)
    }
}

impl TryFrom<u32> for MaximumEventAge {
    type Error = InvalidSetting;

    fn try_from(number: u32) -> Result<Self, InvalidSetting> {
        number.to_string().parse()
    }
}

impl From<MaximumEventAge> for u32 {
    fn from(setting: MaximumEventAge) -> Self {
        setting.0
    }
}

impl fmt::Display for MaximumEventAge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

fn whole(
    text: &str,
    what: &str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<u32, InvalidSetting> {
    let value = text.parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| {
        InvalidSetting(format!(
            "{what} is \"{}\", but Lambda accepts {} to {}",
            text.escape_debug(),
            range.start(),
            range.end()
        ))
    })
}

/// Where the record of an event's end goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// Appended to this file, one JSON object a line.
    File(PathBuf),
    /// An event for this function, invoked asynchronously.
    Function(FunctionName),
}

impl FromStr for Destination {
    type Err = InvalidSetting;

    /// `file:PATH` or `function:NAME`.
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => std::path::absolute(path)
                .map(Self::File)
                .map_err(|error| InvalidSetting(format!("{path}: {error}"))),
            Some(("function", name)) => name
                .parse()
                .map(Self::Function)
                .map_err(|error| InvalidSetting(format!("{error}"))),
            _ => Err(InvalidSetting(format!(
                "\"{}\" is no destination: write file:PATH or function:NAME",
                text.escape_debug()
            ))),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = InvalidSetting;

    fn try_from(text: String) -> Result<Self, InvalidSetting> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "file:{}", path.display()),
            Self::Function(name) => write!(formatter, "function:{name}"),
        }
    }
}

/// Lambda's `EventInvokeConfig` of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventInvokeConfig {
    /// `MaximumRetryAttempts`.
    pub maximum_retry_attempts: MaximumRetryAttempts,
    /// `MaximumEventAgeInSeconds`.
    pub maximum_event_age: MaximumEventAge,
    /// `DestinationConfig.OnSuccess`.
    pub on_success: Option<Destination>,
    /// `DestinationConfig.OnFailure`.
    pub on_failure: Option<Destination>,
}

impl EventInvokeConfig {
    /// Checks what Lambda refuses for the function `name`.
    ///
    /// # Errors
    /// A destination is the function itself.
    pub fn check(&self, name: &FunctionName) -> Result<(), InvalidSetting> {
        let itself = Destination::Function(name.clone());
        if [&self.on_success, &self.on_failure].contains(&&Some(itself)) {
            return Err(InvalidSetting(
                "You can't specify the function as a destination for itself.".to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_lambdas() {
        for (text, retries, age) in [
            ("-1", false, false),
            ("0", true, false),
            ("2", true, false),
            ("3", false, false),
            ("59", false, false),
            ("60", false, true),
            ("21600", false, true),
            ("21601", false, false),
            ("", false, false),
        ] {
            let is_retries = text.parse::<MaximumRetryAttempts>().is_ok();
            assert_eq!(is_retries, retries, "{text}");
            assert_eq!(text.parse::<MaximumEventAge>().is_ok(), age, "{text}");
        }
        let config = EventInvokeConfig::default();
        assert_eq!(config.maximum_retry_attempts.get(), 2);
        let six_hours = Duration::from_secs(6 * 3_600);
        assert_eq!(config.maximum_event_age.duration(), six_hours);
    }

    #[test]
    fn destinations() {
        for good in ["file:/a/b c", "function:f-1"] {
            let destination: Destination = good.parse().unwrap();
            assert_eq!(destination.to_string(), good);
        }
        for bad in ["", "f", "file:", "function:a b", "function:", "sqs:q"] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_function_is_no_destination_for_itself() {
        let config = EventInvokeConfig {
            on_failure: Some("function:f".parse().unwrap()),
            ..EventInvokeConfig::default()
        };
        assert!(config.check(&"g".parse().unwrap()).is_ok());
        assert_eq!(
            config.check(&"f".parse().unwrap()).unwrap_err().to_string(),
            "You can't specify the function as a destination for itself."
        );
    }
}
