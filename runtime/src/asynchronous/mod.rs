//! Asynchronous invocation: events that wait for a function, are retried as Lambda
//! does it, and whose result goes to a destination.
//!
//! `retry` decides, with an explicit clock; `queue` does what it says.

mod configuration;
mod delivery;
mod queue;
mod record;
mod retry;
mod room;

pub use self::configuration::{
    ConfiguredEvents, Destination, EventInvokeConfig, InvalidSetting, MaximumEventAge,
    MaximumRetryAttempts,
};
pub use self::queue::{EventQueue, Notices, QueueSettings};
pub use self::retry::Pace;
pub use self::room::{Full, Limits};
