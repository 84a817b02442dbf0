//! `LoggingConfig`: in which form a function's log is, and what of it is kept.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// How much a log line matters; each level contains those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `TRACE`.
    Trace,
    /// `DEBUG`.
    Debug,
    /// `INFO`.
    Info,
    /// `WARN`.
    Warn,
    /// `ERROR`.
    Error,
    /// `FATAL`.
    Fatal,
}

/// What of Lambda's own lines can be asked for.
const SYSTEM_LEVELS: [LogLevel; 3] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn];

const LEVELS: [LogLevel; 6] = [
    LogLevel::Trace,
    LogLevel::Debug,
    LogLevel::Info,
    LogLevel::Warn,
    LogLevel::Error,
    LogLevel::Fatal,
];

impl LogLevel {
    /// Lambda's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Not a log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL")]
pub struct InvalidLogLevel;

impl FromStr for LogLevel {
    type Err = InvalidLogLevel;

    fn from_str(text: &str) -> Result<Self, InvalidLogLevel> {
        let found = LEVELS
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text));
        found.ok_or(InvalidLogLevel)
    }
}

/// The form of a function's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Logging {
    /// `Text`: Lambda's lines, and what the function writes.
    #[default]
    Text,
    /// `JSON`: Lambda's lines as objects; both by their level.
    Json {
        /// `ApplicationLogLevel`: the least of what the function writes.
        application: LogLevel,
        /// `SystemLogLevel`: the least of what Lambda says.
        system: LogLevel,
    },
}

/// A `LoggingConfig` that Lambda would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoggingError {
    /// A member has another value than it may have: which, its value, what it may be.
    #[error("{1} at '{0}' is not one of {2}")]
    Value(&'static str, String, &'static str),
    /// A level without `JSON`.
    #[error(
        "log levels need the log format JSON: ApplicationLogLevel and SystemLogLevel cannot be \
         set for Text"
    )]
    LevelOfText,
}

impl Logging {
    /// The form with these settings; what is not there has Lambda's default.
    ///
    /// # Errors
    /// A level that does not go with the form.
    pub fn new(
        json: bool,
        application: Option<LogLevel>,
        system: Option<LogLevel>,
    ) -> Result<Self, LoggingError> {
        if !json {
            let none = application.is_none() && system.is_none();
            return none.then_some(Self::Text).ok_or(LoggingError::LevelOfText);
        }
        let system = system.unwrap_or(LogLevel::Info);
        if !SYSTEM_LEVELS.contains(&system) {
            let value = system.to_string();
            let rule = "DEBUG, INFO, WARN";
            return Err(LoggingError::Value(
                "loggingConfig.systemLogLevel",
                value,
                rule,
            ));
        }
        Ok(Self::Json {
            application: application.unwrap_or(LogLevel::Info),
            system,
        })
    }

    /// Reads `LoggingConfig`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(config: &Value) -> Result<Self, LoggingError> {
        let level = |name: &str, path: &'static str| match &config[name] {
            Value::Null => Ok(None),
            value => LEVELS
                .into_iter()
                .find(|level| value == level.as_str())
                .map(Some)
                .ok_or_else(|| {
                    let rule = "TRACE, DEBUG, INFO, WARN, ERROR, FATAL";
                    LoggingError::Value(path, value.to_string(), rule)
                }),
        };
        let json = match &config["LogFormat"] {
            Value::Null => false,
            format if format == "Text" => false,
            format if format == "JSON" => true,
            format => {
                let path = "loggingConfig.logFormat";
                return Err(LoggingError::Value(path, format.to_string(), "JSON, Text"));
            }
        };
        Self::new(
            json,
            level("ApplicationLogLevel", "loggingConfig.applicationLogLevel")?,
            level("SystemLogLevel", "loggingConfig.systemLogLevel")?,
        )
    }

    /// Whether it is `JSON`.
    pub fn is_json(self) -> bool {
        self != Self::Text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn configurations() {
        let json = |application, system| {
            Ok(Logging::Json {
                application,
                system,
            })
        };
        let refused =
            |path, value: &str, rule| Err(LoggingError::Value(path, value.to_owned(), rule));
        for (config, expected) in [
            (json!({}), Ok(Logging::Text)),
            (
                json!({"LogFormat": "Text", "LogGroup": "g"}),
                Ok(Logging::Text),
            ),
            (
                json!({"LogFormat": "JSON"}),
                json(LogLevel::Info, LogLevel::Info),
            ),
            (
                json!({"LogFormat": "JSON", "ApplicationLogLevel": "TRACE", "SystemLogLevel": "WARN"}),
                json(LogLevel::Trace, LogLevel::Warn),
            ),
            (
                json!({"LogFormat": "json"}),
                refused("loggingConfig.logFormat", "\"json\"", "JSON, Text"),
            ),
            (
                json!({"LogFormat": "JSON", "ApplicationLogLevel": "LOUD"}),
                refused(
                    "loggingConfig.applicationLogLevel",
                    "\"LOUD\"",
                    "TRACE, DEBUG, INFO, WARN, ERROR, FATAL",
                ),
            ),
            (
                json!({"LogFormat": "JSON", "SystemLogLevel": "FATAL"}),
                refused("loggingConfig.systemLogLevel", "FATAL", "DEBUG, INFO, WARN"),
            ),
            (
                json!({"SystemLogLevel": "INFO"}),
                Err(LoggingError::LevelOfText),
            ),
        ] {
            assert_eq!(Logging::parse(&config), expected, "{config}");
        }
        assert_eq!("warn".parse(), Ok(LogLevel::Warn));
        assert_eq!("x".parse::<LogLevel>(), Err(InvalidLogLevel));
    }
}
