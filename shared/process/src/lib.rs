//! What every daemon does as a process: logging, stopping, failing. Nothing here knows what the daemon is for.

mod failure;
mod logging;
mod shutdown;

pub use failure::describe;
pub use logging::start_logging;
pub use shutdown::shutdown_signal;
