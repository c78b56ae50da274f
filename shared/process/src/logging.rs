//! Logs go to standard error; standard output is for results.

use std::io::IsTerminal;
use std::path::Path;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::profile::{self, Profile, ProfileError};

/// What is logged unless asked otherwise. yamux logs an error for each frame that breaks its rules, so a cheat could
/// fill the log; what comes of such frames is told by the transport.
const DEFAULT: &str = "warn,yamux=off";

/// Starts logging to standard error: warnings, or what the variable `RUST_LOG` asks for; JSON lines when
/// `CONSILIUM_LOG=json`. Call it once, first.
pub fn start_logging() {
    Registry::default().with(lines()).init();
}

/// The same, and writes a trace of the process to `trace` if one is named. Keep what it returns until the end.
///
/// # Errors
/// When the file cannot be made.
pub fn start_profiling(trace: Option<&Path>) -> Result<Option<Profile>, ProfileError> {
    let Some(path) = trace else {
        start_logging();
        return Ok(None);
    };
    let (layer, profile) = profile::layer(path)?;
    Registry::default().with(lines()).with(layer).init();
    Ok(Some(profile))
}

fn lines<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = fmt::layer().with_writer(std::io::stderr);
    if std::env::var("CONSILIUM_LOG").is_ok_and(|form| form == "json") {
        lines.json().with_filter(filter).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
    }
}
