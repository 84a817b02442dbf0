//! The command line: arguments in, exit status out. One file per command.

mod args;
mod completions;
mod configured;
mod demo;
mod descriptors;
mod doctor;
mod event;
mod event_input;
mod exit_status;
mod extra_layers;
mod image;
mod invoke;
mod layer;
mod logs;
mod measured;
mod output;
mod progress;
mod ps;
mod running;
mod serve;
mod serving;
mod shell;
mod sink;
mod soak;
mod stop;
mod strict;
mod test;
mod tune;
mod validate;

use std::future::Future;
use std::process::ExitCode;

use clap::error::ErrorKind;

use self::args::{Arguments, Command};
use self::exit_status::CommandError;
pub use self::exit_status::ExitStatus;
pub use self::test::{TRANSFORM_COMMAND, answer_transform};
use crate::sandbox::user_namespace;

/// Runs the program's command line.
pub fn main() -> ExitCode {
    let arguments = match Arguments::parse_own() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitStatus::Success,
                _ => ExitStatus::Usage,
            }
            .into();
        }
    };
    if arguments.command.makes_namespaces() {
        // While this process has one thread.
        user_namespace::enter_if_needed();
    }
    descriptors::raise_limit();
    start_logging();
    let result = arguments
        .directories()
        .and_then(|directories| match arguments.command {
            Command::Invoke(command) => block_on(invoke::run(*command, directories)),
            Command::Serve(command) => block_on(serve::run(*command, directories)),
            Command::Ps(command) => block_on(ps::run(command, directories)),
            Command::Logs(command) => block_on(logs::run(command, directories)),
            Command::Stop => block_on(stop::run(directories)),
            Command::Image(command) => block_on(image::run(*command, directories)),
            Command::Layer(command) => layer::run(command, &directories),
            Command::Soak(command) => block_on(soak::run(*command, directories)),
            Command::Tune(command) => block_on(tune::run(*command, directories)),
            Command::Validate(command) => block_on(validate::run(*command, directories)),
            Command::Test(command) => block_on(test::run(*command, directories)),
            Command::Event(command) => event::run(&command),
            Command::Completions(command) => completions::run(&command),
            Command::Doctor(command) => doctor::run(&command, &directories),
            Command::Demo(command) => block_on(demo::run(command, directories)),
        });
    match result {
        Ok(status) => status.into(),
        // Whoever reads has seen enough, or knows what they did; and standard error
        // may be what could not be written to.
        Err(error @ (CommandError::OutputClosed | CommandError::Interrupted)) => {
            error.status().into()
        }
        Err(error) => {
            output::diagnostic(&error.to_string());
            error.status().into()
        }
    }
}

/// For the processes that Lambent starts, which have no other way to say why they
/// end.
pub fn report_process_error(process: &str, error: &std::io::Error) {
    output::diagnostic(&format!("{process}: {error}"));
}

fn block_on(
    command: impl Future<Output = Result<ExitStatus, CommandError>>,
) -> Result<ExitStatus, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Host(format!("start the event loop: {error}")))?;
    let result = runtime.block_on(command);
    // Work that could not be interrupted in time is safe to end anywhere; the next
    // start clears its staging area.
    runtime.shutdown_background();
    result
}

/// `LAMBENT_LOG=debug` shows what Lambent does; by default it is silent.
fn start_logging() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("LAMBENT_LOG") else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Resolves when the user or the system wants the command to end.
async fn interrupted() -> CommandError {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup), Ok(mut quit)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
        signal(SignalKind::quit()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = quit.recv() => {}
    }
    CommandError::Interrupted
}
