//! How people at the hospital reach a running client: a Unix domain socket in the state folder.
//!
//! One JSON object a line in, one out. Only the client's own user and root are heard. There is deliberately no
//! network here and no password: who may read the state folder's patient identifiers may pause the client.

mod address;
mod command;
mod server;

pub use command::ControlCommand;
pub(crate) use command::control;
pub use server::ControlError;
pub(crate) use server::{Asked, ControlSocket, serve};

/// Longest request or answer: 500 studies of 500 sites with names of 63 letters are a few megabytes at most.
const MAX_ANSWER_BYTES: u64 = 32 << 20;
/// Longest request: a hash and a reason.
const MAX_REQUEST_BYTES: u64 = 4 << 10;
