//! CPU kernels for training 3D residual networks: convolution, normalisation and pooling over blocked activations.
//!
//! Knows slices of numbers and their shapes; no tensors, no gradients' bookkeeping, no files. The only crate with
//! `unsafe`: vector instructions and buffers that are written before they are read.

mod adam;
mod block;
mod buffer;
mod convolution;
mod elementwise;
mod geometry;
mod instructions;
mod layout;
mod max_pool;
mod recycling;
mod simd;

pub use adam::AdamStep;
pub use block::{Block, CHANNELS, blocks};
pub use convolution::{
    Arithmetic, Finish, Moments, Precision, forward, forward_with_moments, input_gradient, planar,
    weight_gradient,
};
pub use elementwise::{
    BlockedShape, Normalisation, NormaliseGradient, RouteGradient, RoutedPaths, are_choices, average,
    average_gradient, channel_sums, gather, normalise, normalise_gradient, place, relu_gradient, relu_mask,
    route, route_gradient, rows_with_gradient, subsample, subsample_gradient,
};
pub use geometry::{Geometry, Problem};
pub use instructions::InstructionSet;
pub use layout::{to_blocked, to_planar};
pub use max_pool::{max_pool, max_pool_gradient, max_pool_with_winners};
pub use recycling::{recycle, release};
