//! The only way an update leaves a hospital, and the only way updates become one.
//!
//! At the site every step consumes the one before, and there is no other constructor:
//!
//! ```text
//! LocalUpdate --clip--> ClippedUpdate --quantise--> ProtectedUpdate --pack--> UpdateEnvelope
//!  f32, secret           f32, bounded                i32, on the grid   |      bytes to send
//!                                                                       +----> Residual
//!                                                                              what 8 bits could not tell: stays
//! ```
//!
//! At the coordinator an [`UpdateReader`] (or, of plain bytes, an [`UpdatePayload`]) proves that they were
//! checked, and [`mean_units`] (or, over whole updates, an [`Accumulator`]) adds them up, weighted by cases. Sums of
//! integers do not depend on the order of arrival, and every codec's numbers are integers. The mean is rounded to the
//! grid too, and told to the sites by a [`DeltaWriter`].
//!
//! Deliberately absent: files, network, clocks and randomness, and any name of a tensor. An update is one flat
//! list of coordinates in the order of the study's manifest.

mod accumulate;
mod clipped;
mod delta;
mod envelope;
mod grid;
mod local;
mod pack;
mod payload;
mod protected;
mod reader;
mod residual;
mod slab;

pub use accumulate::{Accumulator, AddError, ApplyError, NoContributions};
pub use clipped::ClippedUpdate;
pub use delta::{DeltaError, DeltaWriter, NotFinite, add_units, apply_delta, delta_wire, most_delta_bytes};
pub use envelope::{ImplausibleSummary, UpdateEnvelope, UpdateSummary};
pub use grid::{Grid, GridError};
pub use local::{LocalUpdate, UpdateError};
pub use pack::{Loss, Packed, most_update_bytes};
pub use payload::{PayloadError, UpdatePayload};
pub use protected::ProtectedUpdate;
pub use reader::{Block, ReadError, UpdateReader};
pub use residual::{PrivateSink, Residual, ResidualError};
pub use slab::{MeanError, Weighted, mean_units};
