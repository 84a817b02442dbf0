//! Measures how fast Lambent is, beside its peers: `make bench-start`.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a tool reports to the terminal")]
fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match lambent_e2e::start::run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_start: {error}");
            ExitCode::FAILURE
        }
    }
}
