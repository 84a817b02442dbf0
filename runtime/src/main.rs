//! The `lambent` program: the launcher if it is asked for, else the command line.

use std::os::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else exists: no thread, no logger, no tokio.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == lambent::LAUNCHER_COMMAND)
    {
        return launcher();
    }
    lambent::cli::main()
}

/// The launcher has its socket as standard input.
fn launcher() -> ExitCode {
    let control = std::io::stdin().as_fd().try_clone_to_owned();
    match control.and_then(lambent::run_launcher) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            lambent::cli::report_launcher_error(&error);
            ExitCode::FAILURE
        }
    }
}
