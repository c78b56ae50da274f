//! Pretrained weights at the coordinator: import of a published checkpoint, a folder of imported ones, and what
//! `run --weights` means.
//!
//! Reading checkpoints is the work of `consilium_weights::checkpoint`; here are files, folders and words.

mod command;
mod given;
mod record;
mod store;

pub use command::WeightsCommand;
pub use given::{DEFAULT_STORE, GivenWeightsError, given_weights, stored_weights};
pub use record::{Record, Source};
pub use store::{Chosen, Entry, StoreError, WeightsStore};
