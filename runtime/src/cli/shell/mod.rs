//! `lambent invoke --shell`: a shell in the environment of a function.

mod program;
mod streams;
mod terminal;

use std::io::{self, IsTerminal};

use tokio::sync::mpsc;

pub(super) use self::program::Choice;
use self::program::not_run;
use self::streams::Piped;
use self::terminal::Terminal;
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use crate::environment::{Events, Invocation};
use crate::model::{self, FunctionConfiguration};
use crate::sandbox::{HOST_SHELL, Streams};
use crate::service::{PreparedCode, Service, Shell, ShellEnd};

/// Signals in exit statuses, as shells say them.
const SIGNALED: i32 = 128;

/// Opens the shell that was chosen, in the image that its user calls `name`, and waits
/// for its end.
pub(super) async fn run(
    service: &Service,
    code: &PreparedCode,
    name: &str,
    function: FunctionConfiguration,
    choice: Choice,
    invocation: Invocation,
    repeat: u32,
) -> Result<ExitStatus, CommandError> {
    let program = choice.arguments(&code.image, name)?;
    let named = program.first().cloned().unwrap_or_default();
    if choice.host_shell.is_some() {
        output::diagnostic(&format!(
            "warning: {HOST_SHELL} is this machine's, for looking around: Lambda has nothing there"
        ));
    }
    for warning in service.warnings(&function) {
        output::diagnostic(&format!("warning: {warning}"));
    }
    let events = Events {
        invocation,
        repeat,
        timeout: function.timeout.duration(),
        function_arn: service.function_arn(&function.function_name),
    };
    let host = |error: io::Error| CommandError::Host(format!("connect a shell: {error}"));
    let (pressed, interrupts) = mpsc::unbounded_channel();
    let open = |streams: Streams, terminal: Option<String>| Shell {
        program,
        lent: choice.host_shell,
        streams,
        terminal,
        interrupts,
    };
    let status = if io::stdin().is_terminal() && io::stdout().is_terminal() {
        if let Some(entry_point) = Service::entry_point(code, &function) {
            output::diagnostic(&format!("the function's entry point is: {entry_point}"));
        }
        let (terminal, streams) = Terminal::open(pressed).map_err(host)?;
        let kind = std::env::var("TERM").ok();
        let say = |news: &str| terminal.say(news);
        let status = service
            .shell(code, &function, open(streams, kind), events, say)
            .await;
        terminal.close().await;
        status
    } else {
        let (piped, streams) = Piped::open().map_err(host)?;
        let status = service
            .shell(
                code,
                &function,
                open(streams, None),
                events,
                output::diagnostic,
            )
            .await;
        piped.drained().await;
        status
    };
    match status? {
        ShellEnd::Ended(status) => {
            // Nobody else would: it is the shell that says so of what runs in it.
            if let model::ExitStatus::Signal(_) = status {
                let name = named.escape_debug();
                output::diagnostic(&format!(
                    "\"{name}\" was ended by a {}",
                    status.of_extension()
                ));
            }
            Ok(exit_status(status))
        }
        ShellEnd::NotRun(reason) => {
            let reason = not_run(&named, &reason, &code.image, name)?;
            Err(CommandError::Image(reason))
        }
    }
}

fn exit_status(status: model::ExitStatus) -> ExitStatus {
    let code = match status {
        model::ExitStatus::Code(code) => code,
        model::ExitStatus::Signal(signal) => SIGNALED + signal,
    };
    ExitStatus::OfShell(u8::try_from(code).unwrap_or(u8::MAX))
}
