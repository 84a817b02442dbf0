//! `lambent completions`: what a shell needs to complete this command line.

use std::io::Write;

use super::args::{Arguments, Completions};
use super::exit_status::{CommandError, ExitStatus};

pub(super) fn run(command: &Completions) -> Result<ExitStatus, CommandError> {
    let mut script = vec![];
    let mut arguments = Arguments::definition();
    clap_complete::generate(command.shell, &mut arguments, "lambent", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitStatus::Success)
}
