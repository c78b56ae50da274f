//! What every daemon does as a process: logging and stopping. Nothing here knows what the daemon is for.

mod logging;
mod shutdown;

pub use logging::start_logging;
pub use shutdown::shutdown_signal;
