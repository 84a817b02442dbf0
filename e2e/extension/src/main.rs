//! An extension on AWS's own crate: it registers for both events and says what it
//! gets, a JSON object a line. With `TELEMETRY` or `LOGS` in its environment it
//! subscribes to the API of that name, too.

use std::process::exit;

use lambda_extension::{
    Error, Extension, LambdaEvent, LambdaLog, LambdaTelemetry, LogBuffering, NextEvent,
    SharedService, service_fn,
};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    say(&json!({"what": "start"}));
    let extension = Extension::new()
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(service_fn(told));
    let wants = |name: &str| std::env::var_os(name).is_some();
    let buffering = LogBuffering {
        timeout_ms: 25,
        ..LogBuffering::default()
    };
    if wants("TELEMETRY") {
        return extension
            .with_telemetry_types(&["platform", "function"])
            .with_telemetry_buffering(buffering)
            .with_telemetry_processor(SharedService::new(service_fn(received)))
            .run()
            .await;
    }
    if wants("LOGS") {
        return extension
            .with_log_types(&["platform", "function"])
            .with_log_buffering(buffering)
            .with_logs_processor(SharedService::new(service_fn(logged)))
            .run()
            .await;
    }
    extension.run().await
}

async fn logged(logs: Vec<LambdaLog>) -> Result<(), Error> {
    for log in logs {
        say(&json!({"what": "log", "record": format!("{:?}", log.record)}));
    }
    Ok(())
}

async fn received(events: Vec<LambdaTelemetry>) -> Result<(), Error> {
    for event in events {
        say(&json!({"what": "telemetry", "event": event}));
    }
    Ok(())
}

async fn told(event: LambdaEvent) -> Result<(), Error> {
    match event.next {
        NextEvent::Invoke(invoke) => say(&json!({
            "what": "INVOKE",
            "requestId": invoke.request_id,
            "arn": invoke.invoked_function_arn,
            "tracing": invoke.tracing.r#type,
        })),
        NextEvent::Shutdown(shutdown) => {
            say(&json!({"what": "SHUTDOWN", "reason": shutdown.shutdown_reason}));
            leave();
        }
    }
    Ok(())
}

#[expect(
    clippy::exit,
    reason = "the crate would ask for another event, and wait to be killed"
)]
fn leave() -> ! {
    exit(0)
}

#[expect(clippy::print_stdout, reason = "standard output is an extension's log")]
fn say(line: &Value) {
    println!("{line}");
}
