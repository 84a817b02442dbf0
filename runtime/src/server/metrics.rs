//! `GET /metrics`, for Prometheus.

use std::collections::BTreeMap;

use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::{Context, ResponseBody, full};
use crate::model::FunctionName;
use crate::observation::{Environments, FunctionMetrics, Spans, metrics as text};
use crate::otlp::Counts;

/// Everything that there is to count, at this moment.
pub(super) fn metrics(context: &Context) -> Response<ResponseBody> {
    let traces = context.pools.traces().map(|traces| traces.counts());
    let spans = traces.map(|Counts { delivered, lost }| Spans { delivered, lost });
    let mut response = Response::new(full(text(&functions(context), spans).into()));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

fn functions(context: &Context) -> Vec<FunctionMetrics> {
    let mut environments: BTreeMap<FunctionName, Environments> = BTreeMap::new();
    for (name, counts) in context.pools.counts() {
        // Versions of one function are counted together.
        let all = environments.entry(name).or_default();
        all.busy += counts.busy + counts.provisioned_busy;
        all.idle += counts.idle + counts.provisioned_idle;
        all.initialising += counts.starting;
        all.provisioned += counts.ready();
        all.provisioned_busy += counts.provisioned_busy;
    }
    for version in context.functions.latest() {
        let configuration = &version.configuration;
        let name = configuration.function_name.clone();
        environments.entry(name).or_default().memory_size = Some(configuration.memory_size);
    }
    let functions = context.pools.observer().functions();
    functions
        .into_iter()
        .map(|(name, counters)| FunctionMetrics {
            numbers: counters.numbers(),
            environments: environments.remove(&name).unwrap_or_default(),
            name,
        })
        .collect()
}
