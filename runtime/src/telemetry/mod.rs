//! What an environment has to say: one stream of events, from which log lines,
//! reports and everything else that watches a function are made.

mod buffer;
mod delivered;
mod event;
mod json;
mod lines;
mod log;
mod occurrence;
mod record;
mod subscription;
mod text;

pub use buffer::Dropped;
pub(crate) use buffer::{Buffer, Item};
pub(crate) use delivered::{delivered, logs_dropped};
pub use event::{Event, Sink, Span, SpanName};
use json::json_log_lines;
pub(crate) use json::json_notice;
pub(crate) use lines::{LineSplitter, whole_lines};
use log::log_lines;
pub use occurrence::Occurrence;
pub use subscription::{
    Api, Buffering, Category, Destination, HttpMethod, Schema, Subscription, SubscriptionError,
    parse_subscription,
};
