//! Numbers on the wire: blocks that are smaller than the numbers, and decode to the same integers everywhere.
//!
//! Two things travel. An **update** is integers in units of the study's grid (`consilium-privacy`), and
//! [`UnitCodec`] says how exactly they are told: without loss, or rounded at the site to what 16 or 8 bits can
//! hold. Whatever the codec, a decoded coordinate is an integer, so sums stay exact and in any order. A **model**
//! is 32-bit floating-point numbers, and [`pack_words`] never loses a bit of them.
//!
//! Numbers go in [blocks](BLOCK_VALUES), each on its own: blocks are encoded and decoded in parallel and as they
//! come. Inside a block the first bytes of all numbers stand together, then the second bytes, and so on, because
//! bytes of one significance resemble each other ([`plane`]).
//!
//! Deliberately absent: files, the network, headers (whoever sends blocks says what they are), names of tensors,
//! and any state from one block to the next. A decoder writes into memory that the caller has sized by what it
//! expects, and never reserves what a sender claims.

mod bf16;
mod error;
mod int8;
mod lossless;
pub mod plane;
mod shuffle;
mod units;
mod words;

pub use error::DecodeError;
pub use int8::SCALE_VALUES;
pub use plane::{Packer, Unpacker};
pub use units::{BLOCK_VALUES, UnitCodec};
pub use words::{pack_words, unpack_words};
