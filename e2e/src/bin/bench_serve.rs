//! A service under load, and for a long time: `make bench-serve`.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a tool reports to the terminal")]
fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match lambent_e2e::load::run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_serve: {error}");
            ExitCode::FAILURE
        }
    }
}
