//! `lambent invoke`: prepare, start, invoke, print. No daemon is needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{ArgumentList, Invoke, OutputFormat};
use super::event_input::event;
use super::exit_status::{CommandError, ExitStatus};
use super::extra_layers;
use super::progress::ProgressDisplay;
use super::sink::StandardError;
use super::strict::refuse_unenforced;
use super::{interrupted, output, shell};
use crate::control_plane::LayerStore;
use crate::environment::{DebugPort, ExecutionEnvironment, Invocation, InvocationResult, Outcome};
use crate::images::{Display, ImageRequest};
use crate::model::{Failure, InitializationType};
use crate::sandbox::RUNTIME_API;
use crate::service::Service;
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Invoke,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let name = command.image.to_string();
    let request = ImageRequest {
        reference: command.image,
        platform: command.choice.platform(),
        name: None,
    };
    let strict = command.function.other.strict;
    let layers = command.function.other.layer.clone();
    extra_layers::check(&layers, strict)?;
    let mut function = command.function.configuration()?;
    function.logging = command.logging.logging()?;
    let shell = shell_choice(command.shell, command.host_shell)?;
    if shell.is_some() && command.event.as_deref() == Some(Path::new("-")) {
        return Err(CommandError::Usage(
            "standard input is the shell's: give its event as --payload or --event FILE".to_owned(),
        ));
    }
    let event = event(command.event.as_deref(), command.payload)?;
    if strict {
        refuse_unenforced(&directories, &function)?;
    }
    let debug = debug_port(command.debug_port).await?;
    let service = Service::open(directories.clone())?;
    // After the service, which makes the directories.
    let store = if layers.is_empty() {
        None
    } else {
        Some(LayerStore::open(&directories, service.region())?)
    };
    let progress = Arc::new(ProgressDisplay::beside_a_log(command.choice.quiet));
    let display = Arc::clone(&progress) as Display;
    let invoking = async {
        let prepared = service.prepare(request, display).await;
        // Before anything else is written to standard error.
        progress.finish();
        let image = prepared?;
        for warning in &image.image.warnings {
            output::diagnostic(&format!("warning: {warning}"));
        }
        let log = Arc::new(StandardError::new());
        let sink = Arc::clone(&log);
        let image = Arc::new(image);
        let code = match &store {
            Some(store) => extra_layers::attach(store, None, &layers, image)?,
            None => image.into(),
        };
        if let Some(choice) = shell {
            let invocation = command.caller.describe(Invocation::new(event));
            return shell::run(
                &service,
                &code,
                &name,
                function,
                choice,
                invocation,
                command.repeat,
            )
            .await;
        }
        let code = Arc::new(code);
        let on_demand = InitializationType::OnDemand;
        let settings = function.clone();
        let started = Arc::clone(&code);
        let function =
            service.debuggable_environment(started, function, on_demand, sink, debug.clone())?;
        let environment = &function.environment;
        let invocation = || command.caller.describe(Invocation::new(event.clone()));
        let invoked = invoke(
            environment,
            &log,
            invocation,
            command.repeat,
            command.output,
            &|| service.not_executed(&code, &settings),
        )
        .await;
        log.drained().await;
        function.environment.shutdown().await;
        invoked
    };
    let result = tokio::select! {
        result = invoking => result,
        error = interrupted() => Err(error),
    };
    // However it ended: the command returns when nothing is left.
    progress.finish();
    service.shutdown().await;
    if let Some(Err(refusal)) = store.map(|store| store.collect()) {
        output::diagnostic(&format!("warning: layers stay in the store: {refusal}"));
    }
    result
}

/// The shell that is to be opened, if one is.
#[expect(
    clippy::option_option,
    reason = "as clap has it: whether there is a shell, and which"
)]
fn shell_choice(
    program: Option<Option<ArgumentList>>,
    host_shell: Option<PathBuf>,
) -> Result<Option<shell::Choice>, CommandError> {
    if program.is_none() && host_shell.is_none() {
        return Ok(None);
    }
    let program = program.flatten().map(|arguments| arguments.0);
    let empty = |program: &Vec<String>| program.first().is_none_or(String::is_empty);
    if program.as_ref().is_some_and(empty) {
        return Err(CommandError::Usage(
            "--shell= names no program; without a value it takes the image's shell".to_owned(),
        ));
    }
    let choice = shell::Choice {
        program,
        host_shell,
    };
    choice.check().map(Some)
}

/// Listens for a debugger, if one is to come.
async fn debug_port(port: Option<u16>) -> Result<Option<Arc<DebugPort>>, CommandError> {
    let Some(port) = port else { return Ok(None) };
    if port == RUNTIME_API.port() {
        return Err(CommandError::Usage(format!(
            "--debug-port {port} is the Runtime API's in every environment: choose another"
        )));
    }
    let listening = DebugPort::listen(port).await.map_err(|error| {
        CommandError::Host(format!("cannot listen on --debug-port {port}: {error}"))
    })?;
    output::diagnostic(&format!(
        "{} leads to port {port} of the environment; time-outs are lifted",
        listening.address()
    ));
    Ok(Some(Arc::new(listening)))
}

/// Invokes `repeat` times. The status is that of the worst invocation. `why` knows why an
/// entry point is not executed.
async fn invoke(
    environment: &ExecutionEnvironment,
    log: &StandardError,
    invocation: impl Fn() -> Invocation,
    repeat: u32,
    format: OutputFormat,
    why: &dyn Fn() -> Option<String>,
) -> Result<ExitStatus, CommandError> {
    let mut worst = ExitStatus::Success;
    for number in 0..repeat {
        let result = environment.invoke(invocation()).await.map_err(|gone| {
            CommandError::Host(format!(
                "{gone} (`lambent doctor` says what this host lacks)"
            ))
        })?;
        // Before anything else is said about it.
        log.drained().await;
        if number == 0 {
            for warning in &result.warnings {
                output::diagnostic(&format!("warning: {warning}"));
            }
        }
        match format {
            OutputFormat::Text => output::response(&result.payload())?,
            OutputFormat::Json => output::json_line(&result)?,
        }
        worst = worst.max(judge(&result, why));
    }
    Ok(worst)
}

/// The exit status for a result, with a word on failures that are not the
/// function's but the image's.
fn judge(result: &InvocationResult, why: &dyn Fn() -> Option<String>) -> ExitStatus {
    match &result.outcome {
        Outcome::Response(_) | Outcome::Streamed(None) => ExitStatus::Success,
        Outcome::Failure(Failure::InvalidEntrypoint(reason)) => {
            let why = why().map(|why| format!(": {why}")).unwrap_or_default();
            output::diagnostic(&format!(
                "the entry point cannot be run: {reason}{why}. Lambda executes ENTRYPOINT (or CMD \
                 without one) as uid 993: it must exist in the image (and so must the interpreter \
                 that its first line or ELF header names), be executable by everyone and be for \
                 this architecture. With arguments it is a JSON array: \
                 --entrypoint '[\"/usr/bin/python3\", \"-m\", \"awslambdaric\"]'"
            ));
            ExitStatus::Image
        }
        Outcome::Failure(Failure::InvalidWorkingDirectory(reason)) => {
            output::diagnostic(&format!(
                "the working directory cannot be entered: {reason}. WORKDIR (or --workdir) must be \
                 a directory in the image"
            ));
            ExitStatus::Image
        }
        Outcome::Streamed(Some(_)) | Outcome::FunctionError(_) | Outcome::Failure(_) => {
            ExitStatus::FunctionError
        }
    }
}
