//! The program `consilium-coordinator` under another name, so that system tests can start what they test.

use std::process::ExitCode;

fn main() -> ExitCode {
    consilium_coordinator::cli::main()
}
