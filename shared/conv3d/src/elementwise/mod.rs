//! What a residual network does to blocked activations between its convolutions.
//!
//! These operations wait for memory, not for arithmetic: each reads its inputs and writes its outputs once,
//! in short slabs over all threads. The slabs follow from the shape alone and their sums are merged in one
//! order, so the results are the same bits for any number of threads and any instructions.

mod average;
mod fresh;
mod lanes;
mod multiversion;
mod normalise;
mod normalise_gradient;
mod relu;
mod relu_mask;
mod route;
mod rows;
mod shape;
mod subsample;
mod sums;
#[cfg(test)]
pub(crate) mod trial;

pub use average::{average, average_gradient};
pub use normalise::{Normalisation, normalise};
pub use normalise_gradient::{NormaliseGradient, normalise_gradient};
pub use relu::{channel_sums, relu_gradient};
pub use relu_mask::relu_mask;
pub use route::{RouteGradient, RoutedPaths, are_choices, route, route_gradient};
pub use rows::{gather, place, rows_with_gradient};
pub use shape::BlockedShape;
pub use subsample::{subsample, subsample_gradient};

pub(crate) use fresh::{Unwritten, Written, fresh, fresh_with};
pub(crate) use lanes::{lanes, of_block, voxels};
pub(crate) use multiversion::multiversion;
pub(crate) use shape::{SLAB_VOXELS, Slab};
