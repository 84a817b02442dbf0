//! Traces for OpenTelemetry, over OTLP/HTTP: one for each invocation, made from the
//! events of its environment, under the ID that X-Ray's header has.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | where spans go: option, `OTEL_…` variables, `lambent.toml` |
//! | `span.rs` | a span |
//! | `story.rs` | events of an environment in, spans of an invocation out |
//! | `encode.rs` | spans as OTLP's request |
//! | `collector.rs` | the HTTP client |
//! | `exporter.rs` | a bounded queue, and the thread that empties it |
//!
//! All but the last two are pure. `opentelemetry-proto` has the messages; the SDK's
//! exporter would have one resource, and here each function is one.

mod collector;
mod encode;
mod exporter;
mod settings;
mod span;
mod story;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub(crate) use self::exporter::{Counts, Exporter};
pub(crate) use self::settings::OtlpSettings;
pub(crate) use self::span::Function;
use self::story::Story;
use crate::telemetry::Event;

/// Makes the spans of one environment.
#[derive(Debug)]
pub(crate) struct Recorder {
    exporter: Arc<Exporter>,
    story: Mutex<Story>,
}

impl Recorder {
    /// Of a new environment of this function.
    pub(crate) fn new(exporter: Arc<Exporter>, function: Function) -> Self {
        Self {
            exporter,
            story: Mutex::new(Story::new(function)),
        }
    }

    /// Takes note of what happens now. Never waits for anything.
    pub(crate) fn record(&self, event: &Event) {
        let mut story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = story.on(SystemTime::now(), event);
        drop(story);
        self.exporter.take(spans);
    }

    /// The environment is gone; what still runs never ends.
    pub(crate) fn lost(&self) {
        let mut story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = story.lost(SystemTime::now());
        drop(story);
        self.exporter.take(spans);
    }
}
