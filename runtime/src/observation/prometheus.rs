//! Prometheus' text format, version 0.0.4. Pure.

use std::fmt::Write;
use std::time::Duration;

use super::{Histogram, Numbers};
use crate::model::{FunctionName, MemorySize};

/// A function at this moment.
#[derive(Debug)]
pub struct FunctionMetrics {
    /// Its name: the label `function_name`.
    pub name: FunctionName,
    /// What was counted.
    pub numbers: Numbers,
    /// Its environments.
    pub environments: Environments,
}

/// The environments of a function at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Environments {
    /// With an invocation: `ConcurrentExecutions`.
    pub busy: usize,
    /// Warm, without one.
    pub idle: usize,
    /// Provisioned ones that are being initialised.
    pub initialising: usize,
    /// Provisioned ones that are ready, with and without an invocation.
    pub provisioned: usize,
    /// Those of them with one: `ProvisionedConcurrentExecutions`.
    pub provisioned_busy: usize,
    /// Configured memory, if the function is deployed.
    pub memory_size: Option<MemorySize>,
}

/// What has become of the spans of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// Those that their collector has taken.
    pub delivered: u64,
    /// Those that it will never get.
    pub lost: u64,
}

type Value = fn(&FunctionMetrics) -> String;

/// Counters and gauges: name, type, help, value.
const SINGLE: [(&str, &str, &str, Value); 15] = [
    (
        "lambda_invocations_total",
        "counter",
        "Invocations: how often the function ran",
        |f| f.numbers.invocations.to_string(),
    ),
    (
        "lambda_errors_total",
        "counter",
        "Errors: invocations that failed, time-outs and crashes included",
        |f| f.numbers.errors.to_string(),
    ),
    (
        "lambda_throttles_total",
        "counter",
        "Throttles: requests for which there was no concurrency left",
        |f| f.numbers.throttles.to_string(),
    ),
    (
        "lambda_concurrent_executions",
        "gauge",
        "ConcurrentExecutions: invocations that run now",
        |f| f.environments.busy.to_string(),
    ),
    (
        "lambda_provisioned_concurrent_executions",
        "gauge",
        "ProvisionedConcurrentExecutions: those of them on provisioned concurrency",
        |f| f.environments.provisioned_busy.to_string(),
    ),
    (
        "lambda_provisioned_concurrency_invocations_total",
        "counter",
        "ProvisionedConcurrencyInvocations: invocations on provisioned concurrency",
        |f| f.numbers.provisioned_invocations.to_string(),
    ),
    (
        "lambda_provisioned_concurrency_spillover_invocations_total",
        "counter",
        "ProvisionedConcurrencySpilloverInvocations: invocations beyond it",
        |f| f.numbers.provisioned_spillover.to_string(),
    ),
    (
        "lambent_provisioned_environments",
        "gauge",
        "Execution environments of provisioned concurrency that are ready",
        |f| f.environments.provisioned.to_string(),
    ),
    (
        "lambda_async_events_received_total",
        "counter",
        "AsyncEventsReceived: events that were queued",
        |f| f.numbers.async_events_received.to_string(),
    ),
    (
        "lambda_async_events_dropped_total",
        "counter",
        "AsyncEventsDropped: events that ended without a success",
        |f| f.numbers.async_events_dropped.to_string(),
    ),
    (
        "lambda_destination_delivery_failures_total",
        "counter",
        "DestinationDeliveryFailures: records that did not reach their destination",
        |f| f.numbers.destination_delivery_failures.to_string(),
    ),
    (
        "lambda_cpu_seconds_total",
        "counter",
        "CPU time used in invocations",
        |f| seconds(f.numbers.cpu),
    ),
    (
        "lambda_cpu_throttled_seconds_total",
        "counter",
        "Time in which invocations wanted CPU beyond their share",
        |f| seconds(f.numbers.cpu_throttled),
    ),
    (
        "lambda_max_memory_used_bytes",
        "gauge",
        "The highest memory use of any environment",
        |f| f.numbers.max_memory_used.to_string(),
    ),
    (
        "lambda_tmp_used_bytes",
        "gauge",
        "What was in /tmp after the last invocation",
        |f| f.numbers.tmp_used.to_string(),
    ),
];

type Classes = fn(&Numbers) -> &Histogram;

const HISTOGRAMS: [(&str, &str, Classes); 2] = [
    (
        "lambda_duration_seconds",
        "Duration: of invocations, without INIT",
        |numbers| &numbers.duration,
    ),
    (
        "lambda_init_duration_seconds",
        "InitDuration: of cold starts",
        |numbers| &numbers.init_duration,
    ),
];

/// Everything about these functions, and about their traces if they are recorded.
pub fn metrics(functions: &[FunctionMetrics], spans: Option<Spans>) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in SINGLE {
        head(&mut text, name, kind, help);
        for function in functions {
            line(&mut text, name, &label(function), &value(function));
        }
    }
    for (name, help, classes) in HISTOGRAMS {
        head(&mut text, name, "histogram", help);
        for function in functions {
            histogram(
                &mut text,
                name,
                &label(function),
                classes(&function.numbers),
            );
        }
    }
    head(
        &mut text,
        "lambda_memory_size_bytes",
        "gauge",
        "MemorySize of the function",
    );
    for function in functions {
        if let Some(size) = function.environments.memory_size {
            let bytes = size.bytes().to_string();
            line(
                &mut text,
                "lambda_memory_size_bytes",
                &label(function),
                &bytes,
            );
        }
    }
    head(
        &mut text,
        "lambent_environments",
        "gauge",
        "Execution environments",
    );
    for function in functions {
        let Environments {
            busy,
            idle,
            initialising,
            ..
        } = function.environments;
        for (state, count) in [
            ("busy", busy),
            ("idle", idle),
            ("initialising", initialising),
        ] {
            let labels = format!("{},state=\"{state}\"", label(function));
            line(
                &mut text,
                "lambent_environments",
                &labels,
                &count.to_string(),
            );
        }
    }
    if let Some(Spans { delivered, lost }) = spans {
        let name = "lambent_trace_spans_total";
        head(
            &mut text,
            name,
            "counter",
            "Spans of traces, by what has become of them",
        );
        for (outcome, count) in [("delivered", delivered), ("lost", lost)] {
            let label = format!("outcome=\"{outcome}\"");
            line(&mut text, name, &label, &count.to_string());
        }
    }
    text
}

// Writing to a string cannot fail.

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: &str) {
    let _ = writeln!(text, "{name}{{{labels}}} {value}");
}

fn histogram(text: &mut String, name: &str, label: &str, histogram: &Histogram) {
    let bucket = format!("{name}_bucket");
    for (bound, count) in histogram.cumulative() {
        let labels = format!("{label},le=\"{}\"", bound.as_secs_f64());
        line(text, &bucket, &labels, &count.to_string());
    }
    let count = histogram.count().to_string();
    line(text, &bucket, &format!("{label},le=\"+Inf\""), &count);
    line(
        text,
        &format!("{name}_sum"),
        label,
        &seconds(histogram.sum()),
    );
    line(text, &format!("{name}_count"), label, &count);
}

/// Names of functions need no escapes.
fn label(function: &FunctionMetrics) -> String {
    format!("function_name=\"{}\"", function.name)
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::report;
    use super::super::{Counters, Observer};
    use super::*;

    fn function(name: &str, counters: &Counters) -> FunctionMetrics {
        FunctionMetrics {
            name: name.parse().unwrap(),
            numbers: counters.numbers(),
            environments: Environments {
                busy: 1,
                idle: 2,
                initialising: 3,
                provisioned: 2,
                provisioned_busy: 1,
                memory_size: Some(MemorySize::MIN),
            },
        }
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let observer = Observer::default();
        let counters = observer.function(&"f".parse().unwrap());
        counters.count(&report(Some(20), true));
        let functions = [
            function("f", &counters),
            function("g", &Counters::default()),
        ];
        assert!(!metrics(&functions, None).contains("lambent_trace_spans_total"));
        let spans = Spans {
            delivered: 7,
            lost: 1,
        };
        let text = metrics(&functions, Some(spans));
        for line in [
            "# TYPE lambda_invocations_total counter",
            "lambda_invocations_total{function_name=\"f\"} 1",
            "lambda_invocations_total{function_name=\"g\"} 0",
            "lambda_errors_total{function_name=\"f\"} 1",
            "lambda_concurrent_executions{function_name=\"f\"} 1",
            "lambda_provisioned_concurrent_executions{function_name=\"f\"} 1",
            "lambda_provisioned_concurrency_invocations_total{function_name=\"f\"} 0",
            "lambent_provisioned_environments{function_name=\"g\"} 2",
            "lambent_environments{function_name=\"f\",state=\"initialising\"} 3",
            "# TYPE lambda_duration_seconds histogram",
            "lambda_duration_seconds_bucket{function_name=\"f\",le=\"0.002\"} 0",
            "lambda_duration_seconds_bucket{function_name=\"f\",le=\"0.005\"} 1",
            "lambda_duration_seconds_bucket{function_name=\"f\",le=\"+Inf\"} 1",
            "lambda_duration_seconds_sum{function_name=\"f\"} 0.003",
            "lambda_init_duration_seconds_count{function_name=\"f\"} 1",
            "lambda_cpu_seconds_total{function_name=\"f\"} 0.002",
            "lambda_memory_size_bytes{function_name=\"f\"} 134217728",
            "lambent_environments{function_name=\"f\",state=\"idle\"} 2",
            "lambent_trace_spans_total{outcome=\"delivered\"} 7",
            "lambent_trace_spans_total{outcome=\"lost\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        // Each name has one head, before its lines.
        let heads = text.lines().filter(|line| line.starts_with("# TYPE"));
        let mut names: Vec<_> = heads.filter_map(|line| line.split(' ').nth(2)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
