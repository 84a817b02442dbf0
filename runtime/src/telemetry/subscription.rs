//! What extensions ask of the Telemetry API and of the Logs API, and Lambda's rules
//! for it. Pure: a request's body in (`parse.rs`), a subscription or a refusal out.

mod parse;

use std::fmt;
use std::time::Duration;

pub use self::parse::parse_subscription;

/// The two interfaces through which extensions get events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Telemetry API 2022-07-01.
    Telemetry,
    /// Logs API 2020-08-15, which came before it.
    Logs,
}

impl Api {
    fn schemas(self) -> &'static [(&'static str, Schema)] {
        match self {
            Self::Telemetry => &[
                ("2022-07-01", Schema::Telemetry202207),
                ("2022-12-13", Schema::Telemetry202212),
                // For managed instances; of the events of functions it says the same.
                ("2025-01-29", Schema::Telemetry202212),
            ],
            Self::Logs => &[
                ("2020-08-15", Schema::Logs202008),
                ("2021-03-18", Schema::Logs202103),
            ],
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Telemetry => "Telemetry API",
            Self::Logs => "Logs API",
        })
    }
}

/// In which form events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Logs API, 2020-08-15.
    Logs202008,
    /// Logs API, 2021-03-18: with `platform.runtimeDone`.
    Logs202103,
    /// Telemetry API, 2022-07-01.
    Telemetry202207,
    /// Telemetry API, 2022-12-13 and later: JSON of functions stays JSON.
    Telemetry202212,
}

/// Kinds of events that can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// What Lambda says.
    Platform,
    /// What the function writes.
    Function,
    /// What extensions write.
    Extension,
}

impl Category {
    fn parse(text: &str) -> Option<Self> {
        [Self::Platform, Self::Function, Self::Extension]
            .into_iter()
            .find(|category| category.as_str() == text)
    }

    /// Lambda's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// How many events are collected before they are delivered, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffering {
    /// Events of a batch.
    pub max_items: usize,
    /// Bytes of a batch.
    pub max_bytes: usize,
    /// How long the first event of a batch waits for others.
    pub timeout: Duration,
}

impl Default for Buffering {
    fn default() -> Self {
        Self {
            max_items: 10_000,
            max_bytes: 262_144,
            timeout: Duration::from_secs(1),
        }
    }
}

/// The methods by which batches are delivered over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// `POST`, the default.
    Post,
    /// `PUT`.
    Put,
}

/// Where batches go: to a port of the environment's own loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A JSON array in the body of a request.
    Http {
        /// The port of the URI.
        port: u16,
        /// Its host and port as the extension wrote them.
        authority: String,
        /// Its path and query.
        path: String,
        /// How the request is made.
        method: HttpMethod,
    },
    /// An event a line.
    Tcp {
        /// The port.
        port: u16,
    },
}

impl Destination {
    /// The port, on loopback.
    pub fn port(&self) -> u16 {
        match self {
            Self::Http { port, .. } | Self::Tcp { port } => *port,
        }
    }
}

/// A valid subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// By which interface it was made.
    pub api: Api,
    /// In which form it gets events.
    pub schema: Schema,
    /// Which events it gets, in its own order.
    pub types: Vec<Category>,
    /// How they are collected.
    pub buffering: Buffering,
    /// Where they go.
    pub destination: Destination,
}

/// A refused subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionError {
    /// The body breaks a rule, which the text names.
    Invalid(Api, String),
    /// INIT is over.
    Closed(Api),
}

impl SubscriptionError {
    /// Lambda's `errorType`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Invalid(Api::Telemetry, _) => "ValidationError",
            Self::Invalid(Api::Logs, _) => "Logs.ValidationError",
            Self::Closed(Api::Telemetry) => "Telemetry.SubscriptionClosed",
            Self::Closed(Api::Logs) => "Logs.SubscriptionClosed",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(..) => 400,
            Self::Closed(_) => 403,
        }
    }
}

impl fmt::Display for SubscriptionError {
    /// Lambda's `errorMessage`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_, reason) => formatter.write_str(reason),
            Self::Closed(api) => write!(formatter, "{api} subscription is closed"),
        }
    }
}

#[cfg(test)]
mod tests;
