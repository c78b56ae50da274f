//! The program `consilium-coordinator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    consilium_coordinator::cli::main()
}
