//! An extension on AWS's own crate: it registers for both events and says what it
//! gets, a JSON object a line. With `TELEMETRY` in its environment it subscribes, too.

use std::process::exit;

use lambda_extension::{
    Error, Extension, LambdaEvent, LambdaTelemetry, LogBuffering, NextEvent, SharedService,
    service_fn,
};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    say(&json!({"what": "start"}));
    let extension = Extension::new()
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(service_fn(told));
    if std::env::var_os("TELEMETRY").is_none() {
        return extension.run().await;
    }
    extension
        .with_telemetry_types(&["platform", "function"])
        .with_telemetry_buffering(LogBuffering {
            timeout_ms: 25,
            ..LogBuffering::default()
        })
        .with_telemetry_processor(SharedService::new(service_fn(received)))
        .run()
        .await
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
