//! Runs the end-to-end tests in a virtual machine: `make test-v2`.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a tool reports to the terminal")]
fn main() -> ExitCode {
    match lambent_e2e::vm::run(std::env::args().skip(1)) {
        Ok(result) => {
            eprintln!("test_vm: {result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("test_vm: {error}");
            ExitCode::FAILURE
        }
    }
}
