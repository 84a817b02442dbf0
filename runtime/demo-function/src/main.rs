//! The sample function of `lambent demo`, and the probe of the end-to-end tests.
//!
//! A real Lambda function on AWS's `lambda_runtime`, linked statically so that
//! an image needs to hold nothing else. One event asks for one [`Action`]; the
//! Python, Node and shell fixtures answer the same events in the same shape.

mod action;
mod files;
mod inspect;
mod load;
mod process;
mod state;
mod stream;
mod tmp;

use action::{Action, Failure};
use lambda_runtime::streaming::Body;
use lambda_runtime::{Error, FunctionResponse, LambdaEvent, service_fn};
use serde_json::{Value, json};

fn main() -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(lambda_runtime::run(service_fn(handle)))
}

/// Answers one invocation.
async fn handle(event: LambdaEvent<Value>) -> Result<FunctionResponse<Value, Body>, Failure> {
    let value = match Action::parse(&event.payload)? {
        Action::Stream {
            texts,
            delay_ms,
            abort,
        } => {
            let body = stream::stream(texts, delay_ms, abort);
            return Ok(FunctionResponse::StreamingResponse(body.into()));
        }
        Action::Sequence { events, log } => {
            let mut results = Vec::with_capacity(events.len());
            for event in events {
                let result = perform(Action::parse(&event)?, event).await?;
                if log {
                    process::log(&[result.to_string()], false);
                }
                results.push(result);
            }
            results.into()
        }
        action => perform(action, event.payload).await?,
    };
    Ok(FunctionResponse::BufferedResponse(value))
}

/// Performs one action; `event` is what asked for it.
async fn perform(action: Action, event: Value) -> Result<Value, Failure> {
    match action {
        Action::Sequence { .. } | Action::Stream { .. } => Err(Failure::new(
            "InvalidEvent",
            "a sequence contains neither a sequence nor a stream".to_owned(),
        )),
        Action::Echo => Ok(json!({ "event": event })),
        Action::Counter => Ok(state::counter()),
        Action::Burn { cpu_ms } => Ok(load::burn(cpu_ms)),
        Action::SpinFor { wall_ms } => Ok(load::spin_for(wall_ms)),
        Action::Allocate { mb, keep } => load::allocate(mb, keep),
        Action::Sleep { ms } => Ok(load::sleep(ms).await),
        Action::FillTmp { mb } => Ok(tmp::fill(mb)),
        Action::WriteTmp { name, text } => tmp::write(&name, &text),
        Action::ReadTmp { name } => tmp::read(&name),
        Action::ListTmp => Ok(tmp::list()),
        Action::Raise { message } => Err(Failure::raised(message)),
        Action::Exit { code } => process::exit(code),
        Action::Crash => process::crash(),
        Action::Log { lines, stderr } => Ok(process::log(&lines, stderr)),
        Action::Fork { count } => Ok(process::fork(count)),
        Action::Open { count } => Ok(files::open(count)),
        Action::Connect { host, port } => Ok(files::connect(&host, port)),
        Action::Env => Ok(inspect::environment()),
        Action::Inspect => Ok(inspect::inspect()),
    }
}
