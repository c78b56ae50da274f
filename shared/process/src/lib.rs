//! What every daemon does as a process: logging, profiling, stopping, failing. Nothing here knows what the daemon is for.

mod failure;
mod logging;
mod memory;
mod profile;
mod shutdown;

pub use failure::describe;
pub use logging::{start_logging, start_profiling};
pub use memory::Memory;
pub use profile::{Profile, ProfileError};
pub use shutdown::shutdown_signal;
