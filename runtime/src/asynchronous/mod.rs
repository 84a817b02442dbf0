//! Asynchronous invocation: events that wait for a function, are retried as Lambda
//! does it, and whose result goes to a destination.
//!
//! `retry` decides, with an explicit clock; `queue` does what it says; `kept` is what
//! outlives the service.

mod delivery;
mod kept;
mod queue;
mod record;
mod retry;
mod room;

pub use self::delivery::check_destination;
pub use self::queue::{EventQueue, Notices, QueueSettings, Refused};
pub use self::retry::Pace;
pub use self::room::{Full, Limits};
pub use crate::model::{
    Destination, EventInvokeConfig, InvalidSetting, MaximumEventAge, MaximumRetryAttempts,
};
