//! Logs go to standard error; standard output is for results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging to standard error: warnings, or what the variable `RUST_LOG` asks for; JSON lines when
/// `CONSILIUM_LOG=json`. Call it once, first.
pub fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("CONSILIUM_LOG").is_ok_and(|form| form == "json") {
        lines.json().init();
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).init();
    }
}
