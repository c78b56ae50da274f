//! The program `consilium` under another name, so that system tests can start what they test.

use std::process::ExitCode;

fn main() -> ExitCode {
    consilium_simulator::main()
}
