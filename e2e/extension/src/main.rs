//! An extension on AWS's own crate: it registers for both events and says what it
//! gets, a JSON object a line.

use std::process::exit;

use lambda_extension::{Error, Extension, LambdaEvent, NextEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    say(&json!({"what": "start"}));
    Extension::new()
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(service_fn(told))
        .run()
        .await
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
