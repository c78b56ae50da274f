//! The only way an update leaves a hospital, and the only way updates become one.
//!
//! At the site every step consumes the one before, and there is no other constructor:
//!
//! ```text
//! LocalUpdate --clip--> ClippedUpdate --quantise--> ProtectedUpdate --seal--> UpdateEnvelope
//!  f32, secret           f32, bounded                i32, on the grid          bytes to send
//! ```
//!
//! At the coordinator the bytes become an [`UpdatePayload`], which proves that they were checked, and an
//! [`Accumulator`] adds payloads up, weighted by cases. Sums of integers do not depend on the order of
//! arrival.
//!
//! Deliberately absent: files, network, clocks, threads and randomness, and any name of a tensor. An update
//! is one flat list of coordinates in the order of the study's manifest.

mod accumulate;
mod clipped;
mod envelope;
mod grid;
mod local;
mod payload;
mod protected;

pub use accumulate::{Accumulator, AddError, ApplyError, NoContributions};
pub use clipped::ClippedUpdate;
pub use envelope::{ImplausibleSummary, UpdateEnvelope, UpdateSummary};
pub use grid::{Grid, GridError};
pub use local::{LocalUpdate, UpdateError};
pub use payload::{PayloadError, UpdatePayload};
pub use protected::ProtectedUpdate;
