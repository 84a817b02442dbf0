//! Builds the images of the end-to-end tests: `fixtures [--out DIRECTORY]`.

use lambent_e2e::fixtures;
use std::path::PathBuf;
use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a build tool reports to the terminal")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let out = match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => fixtures::directory(),
        (Some(option), Some(out), None) if option == "--out" => PathBuf::from(out),
        _ => {
            eprintln!("usage: fixtures [--out DIRECTORY]");
            return ExitCode::from(2);
        }
    };
    match fixtures::build(&out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fixtures: {error}");
            ExitCode::FAILURE
        }
    }
}
