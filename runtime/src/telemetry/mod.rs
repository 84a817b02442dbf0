//! What an environment has to say: one stream of events, from which log lines,
//! reports and everything else that watches a function are made.

mod event;
mod json;
mod lines;
mod text;

pub use event::{Event, Sink};
pub use json::json_log_lines;
pub(crate) use json::json_notice;
pub(crate) use lines::LineSplitter;
pub use text::log_lines;
