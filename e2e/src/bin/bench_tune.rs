//! How near the findings of `lambent tune` and `lambent soak` are to what functions are
//! known to do: `make bench-tune`.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a tool reports to the terminal")]
fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match lambent_e2e::tuning::run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_tune: {error}");
            ExitCode::FAILURE
        }
    }
}
