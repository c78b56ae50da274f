//! The consortium's certificate authority: who may speak as which site, as the coordinator, as an admin.
//!
//! A root that lies offline signs one issuing certificate, and that signs everybody's. It deliberately opens no socket
//! and knows no study. It is not a public PKI: short certificates, and names only this consortium understands (see
//! [`consilium_domain::Role`]). Joining by token and renewal are the coordinator's.

mod authority;
mod kit;

pub use authority::{Authority, AuthorityError, Validity};
pub use kit::{Kit, KitError};
