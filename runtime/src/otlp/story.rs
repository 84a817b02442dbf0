//! What an environment says of an invocation, as the spans of a trace. Pure.
//!
//! ```text
//! NAME                            server: all of it; its parent is the caller's span
//! ├─ init                         the INIT that it waited for, or the one ahead of it
//! ├─ thaw
//! ├─ invoke                       until the answer; the parent of the function's own spans
//! │  ├─ responseLatency
//! │  └─ responseDuration
//! ├─ overhead                     from the answer until runtime and extensions are ready
//! │  ├─ runtimeOverhead
//! │  └─ extensionOverhead
//! └─ freeze
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::span::{Attribute, Function, Kind, Span, Value};
use crate::model::{InitKind, InitializationType, Report, RequestId, SpanId, Status, TraceId};
use crate::telemetry::{self, Event, SpanName};

/// What went wrong: OpenTelemetry's `error.type`, and a sentence.
type Failure = (String, String);

/// The events of one environment, from the first of an invocation to its last.
#[derive(Debug)]
pub(super) struct Story {
    function: Arc<Function>,
    instance: String,
    /// What was before the invocation and is part of its trace.
    before: Vec<Part>,
    /// When the first of that began which the invocation waits for.
    began: Option<SystemTime>,
    /// The environment goes on for this invocation, and does not begin.
    thawed: bool,
    cold: bool,
    open: Option<Open>,
}

/// A span without its place in a trace.
#[derive(Debug)]
struct Part {
    name: &'static str,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<Attribute>,
    failure: Option<Failure>,
}

/// The invocation that runs.
#[derive(Debug)]
struct Open {
    request_id: RequestId,
    trace: TraceId,
    began: SystemTime,
    invoked: SystemTime,
    before: Vec<Part>,
    cold: bool,
    fault: Option<Failure>,
    done: Option<Done>,
    freeze: Option<Part>,
}

/// What the runtime has done.
#[derive(Debug)]
struct Done {
    at: SystemTime,
    spans: Vec<telemetry::Span>,
}

impl Part {
    /// What ends now.
    fn ended(name: &'static str, at: SystemTime, duration: Duration) -> Self {
        Self {
            name,
            start: at.checked_sub(duration).unwrap_or(at),
            end: at,
            attributes: vec![],
            failure: None,
        }
    }

    fn init(at: SystemTime, kind: InitKind, duration: Duration, status: &Status) -> Self {
        let (initialization, phase) = match kind {
            InitKind::OnDemand => (InitializationType::OnDemand, "init"),
            InitKind::Suppressed => (InitializationType::OnDemand, "invoke"),
            InitKind::Provisioned => (InitializationType::ProvisionedConcurrency, "init"),
        };
        let text = |text: &str| Value::Text(text.to_owned());
        Self {
            attributes: vec![
                (
                    "aws.lambda.initialization_type",
                    text(initialization.as_str()),
                ),
                ("aws.lambda.phase", text(phase)),
            ],
            failure: failure_of(status),
            ..Self::ended("init", at, duration)
        }
    }
}

impl Story {
    /// Nothing has happened yet.
    pub(super) fn new(function: Function) -> Self {
        Self {
            function: Arc::new(function),
            instance: String::new(),
            before: vec![],
            began: None,
            thawed: false,
            cold: false,
            open: None,
        }
    }

    /// Takes note of something that happens at `at`. All spans of an invocation come
    /// with its end.
    pub(super) fn on(&mut self, at: SystemTime, event: &Event) -> Vec<Span> {
        match event {
            Event::InitStart {
                kind, instance_id, ..
            } => self.init_started(at, *kind, instance_id),
            Event::InitReport {
                kind,
                duration,
                status,
            } => {
                let mut init = Part::init(at, *kind, *duration, status);
                // Its time is measured on another clock.
                init.start = self.began.map_or(init.start, |began| init.start.max(began));
                self.before.push(init);
            }
            Event::Freezer {
                frozen: false,
                duration,
            } => {
                let thaw = Part::ended("thaw", at, *duration);
                // What was thawed only to end is no part of an invocation.
                self.before.retain(|part| part.name != thaw.name);
                self.began = Some(thaw.start);
                self.thawed = true;
                self.before.push(thaw);
            }
            Event::Freezer {
                frozen: true,
                duration,
            } => {
                if let Some(open) = &mut self.open {
                    open.freeze = Some(Part::ended("freeze", at, *duration));
                }
            }
            Event::Start {
                request_id,
                trace_id,
                ..
            } => self.started(at, *request_id, trace_id),
            Event::Fault {
                error_type,
                message,
                ..
            } => {
                if let Some(open) = &mut self.open {
                    open.fault = Some(((*error_type).to_owned(), message.clone()));
                }
            }
            Event::RuntimeDone { spans, .. } => {
                if let Some(open) = &mut self.open {
                    let spans = spans.clone();
                    open.done = Some(Done { at, spans });
                }
            }
            Event::Report {
                report,
                failed,
                spans,
                ..
            } => {
                if let Some(open) = self.open.take() {
                    return self.told(open, at, report, *failed, spans);
                }
            }
            _ => {}
        }
        vec![]
    }

    /// The trace of an invocation that runs when its environment is gone without a word.
    pub(super) fn lost(&mut self, at: SystemTime) -> Vec<Span> {
        let Some(mut open) = self.open.take() else {
            return vec![];
        };
        // Else the caller has its answer.
        if open.done.is_none() {
            open.fault.get_or_insert_with(|| {
                let message = "its environment was lost".to_owned();
                ("ServiceException".to_owned(), message)
            });
        }
        self.ended(open, at, None, &[])
    }

    fn init_started(&mut self, at: SystemTime, kind: InitKind, instance: &str) {
        instance.clone_into(&mut self.instance);
        // The second of an invocation follows upon its first, anything else is new.
        if kind != InitKind::Suppressed || self.thawed {
            self.before.clear();
            self.began = None;
            self.thawed = false;
        }
        if kind != InitKind::Provisioned {
            self.began.get_or_insert(at);
            self.cold = true;
        }
    }

    fn started(&mut self, at: SystemTime, request_id: RequestId, trace: &TraceId) {
        let open = Open {
            request_id,
            trace: trace.clone(),
            began: self.began.take().unwrap_or(at),
            invoked: at,
            before: std::mem::take(&mut self.before),
            cold: std::mem::take(&mut self.cold),
            fault: None,
            done: None,
            freeze: None,
        };
        self.thawed = false;
        self.open = trace.is_recorded().then_some(open);
    }

    /// The trace of an invocation that ends at `at`.
    fn told(
        &self,
        open: Open,
        at: SystemTime,
        report: &Report,
        failed: bool,
        spans: &[telemetry::Span],
    ) -> Vec<Span> {
        let failure = failure_of(&report.status);
        let returned = || {
            let message = "the function has returned an error".to_owned();
            ("Unhandled".to_owned(), message)
        };
        let failure = failure.or_else(|| failed.then(returned));
        self.ended(open, at, failure, spans)
    }

    /// All spans of an invocation; what is known of its failure already goes before this.
    fn ended(
        &self,
        open: Open,
        at: SystemTime,
        failure: Option<Failure>,
        spans: &[telemetry::Span],
    ) -> Vec<Span> {
        let failure = open.fault.clone().or(failure);
        let ready = open.freeze.as_ref().map_or(at, |freeze| freeze.start);
        let all = open.done.iter().flat_map(|done| &done.spans).chain(spans);
        let (overheads, answers): (Vec<_>, Vec<_>) = all.partition(|span| {
            matches!(
                span.name,
                SpanName::RuntimeOverhead | SpanName::ExtensionOverhead
            )
        });
        // Without an answer, the end of the runtime.
        let answered = overheads
            .iter()
            .find(|span| span.name == SpanName::RuntimeOverhead)
            .map(|span| span.start)
            .or_else(|| open.done.as_ref().map(|done| done.at))
            .unwrap_or(ready);
        let attributes = self.attributes(&open);
        let part = |name, start, end, failure| Part {
            name,
            start,
            end,
            attributes: attributes.clone(),
            failure,
        };
        let trace = &open.trace;
        let place = Place {
            function: &self.function,
            trace: trace.root(),
        };
        let root_id = SpanId::random();
        let mut root = place.span(
            root_id,
            trace.caller(),
            part("", open.began, at, failure.clone()),
        );
        root.name.clone_from(&self.function.name);
        root.kind = Kind::Server;
        let mut story = vec![root];
        for before in open.before {
            story.push(place.span(SpanId::random(), Some(root_id), before));
        }
        // Functions have been told this one.
        let invoke_id = trace.parent();
        let invoke = part("invoke", open.invoked, answered, failure);
        story.push(place.span(invoke_id, Some(root_id), invoke));
        let overhead_id = SpanId::random();
        if open.done.is_some() {
            let overhead = Part {
                attributes: vec![],
                ..part("overhead", answered, ready, None)
            };
            story.push(place.span(overhead_id, Some(root_id), overhead));
        }
        for (parent, spans) in [(invoke_id, answers), (overhead_id, overheads)] {
            for span in spans {
                // Durations are measured on another clock.
                let (start, end) = (span.start.min(at), (span.start + span.duration).min(at));
                let part = Part {
                    attributes: vec![],
                    ..part(span.name.as_str(), start, end, None)
                };
                story.push(place.span(SpanId::random(), Some(parent), part));
            }
        }
        if let Some(freeze) = open.freeze {
            story.push(place.span(SpanId::random(), Some(root_id), freeze));
        }
        story
    }

    /// OpenTelemetry's conventions for functions as a service.
    fn attributes(&self, open: &Open) -> Vec<Attribute> {
        let text = |text: &str| Value::Text(text.to_owned());
        vec![
            ("faas.name", text(&self.function.name)),
            ("faas.version", text(&self.function.version)),
            ("faas.instance", text(&self.instance)),
            ("faas.invocation_id", text(&open.request_id.to_string())),
            ("faas.coldstart", Value::Flag(open.cold)),
            ("cloud.resource_id", text(&self.function.arn)),
        ]
    }
}

/// Whose spans they are.
struct Place<'a> {
    function: &'a Arc<Function>,
    trace: [u8; 16],
}

impl Place<'_> {
    fn span(&self, id: SpanId, parent: Option<SpanId>, part: Part) -> Span {
        let mut attributes = part.attributes;
        let (error_type, error) = part.failure.unzip();
        attributes.extend(error_type.map(|kind| ("error.type", Value::Text(kind))));
        Span {
            function: Arc::clone(self.function),
            trace: self.trace,
            id,
            parent,
            name: part.name.to_owned(),
            kind: Kind::Internal,
            start: part.start,
            // The wall's clock may have been set back.
            end: part.end.max(part.start),
            attributes,
            error,
        }
    }
}

fn failure_of(status: &Status) -> Option<Failure> {
    match status {
        Status::Success => None,
        Status::Timeout => Some(("Sandbox.Timedout".to_owned(), "timed out".to_owned())),
        Status::Error(error_type) => Some((error_type.clone(), error_type.clone())),
    }
}

#[cfg(test)]
mod tests;
