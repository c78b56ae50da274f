//! The program `consilium-client`.

use std::process::ExitCode;

fn main() -> ExitCode {
    consilium_client::cli::main()
}
