//! The `lambent` program: the launcher or another process of its own if it is asked for,
//! else the command line.

use std::os::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else exists: no thread, no logger, no tokio.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(command) if command == lambent::LAUNCHER_COMMAND => launcher(),
        Some(command) if command == lambent::PROBE_COMMAND => probe(arguments.next()),
        Some(command) if command == lambent::cli::TRANSFORM_COMMAND => transform(),
        _ => lambent::cli::main(),
    }
}

/// The probing process has its request as an argument.
fn probe(request: Option<std::ffi::OsString>) -> ExitCode {
    let request = request.unwrap_or_default();
    match lambent::answer_probe(&request.to_string_lossy()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            lambent::cli::report_process_error("probe", &error);
            ExitCode::FAILURE
        }
    }
}

/// A filter of a suite.
fn transform() -> ExitCode {
    match lambent::cli::answer_transform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            lambent::cli::report_process_error("transform", &error);
            ExitCode::FAILURE
        }
    }
}

/// The launcher has its socket as standard input.
fn launcher() -> ExitCode {
    let control = std::io::stdin().as_fd().try_clone_to_owned();
    match control.and_then(lambent::run_launcher) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            lambent::cli::report_process_error("launcher", &error);
            ExitCode::FAILURE
        }
    }
}
