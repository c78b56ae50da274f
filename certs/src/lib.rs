//! The consortium's certificate authority: who may speak as which site, and who as the coordinator.
//!
//! It deliberately opens no socket and knows no study. It is not a public PKI: one root, no intermediates, short
//! certificates, and names only this consortium understands (see [`consilium_domain::Role`]).

mod authority;
mod kit;
mod private_file;

pub use authority::{Authority, AuthorityError, Validity};
pub use kit::{Kit, KitError};
