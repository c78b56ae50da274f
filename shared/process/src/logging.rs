//! Logs go to standard error; standard output is for results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged unless asked otherwise. yamux logs an error for each frame that breaks its rules, so a cheat could
/// fill the log; what comes of such frames is told by the transport.
const DEFAULT: &str = "warn,yamux=off";

/// Starts logging to standard error: warnings, or what the variable `RUST_LOG` asks for; JSON lines when
/// `CONSILIUM_LOG=json`. Call it once, first.
pub fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("CONSILIUM_LOG").is_ok_and(|form| form == "json") {
        lines.json().init();
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).init();
    }
}
