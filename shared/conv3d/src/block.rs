//! The layout of activations: `[batch][block][depth][height][width][16]`, sixteen channels of a voxel together.
//!
//! Sixteen floats fill a cache line and an AVX-512 register, so a kernel reads a voxel with one aligned load, and a
//! row of voxels without gaps. The last block is filled up with channels of zeros; every kernel keeps them zero.

use bytemuck::{Pod, Zeroable};

/// Channels of a block.
pub const CHANNELS: usize = 16;

/// The sixteen channels of one voxel, on a cache line of their own.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block(pub [f32; CHANNELS]);

/// Blocks that hold `channels` channels.
pub const fn blocks(channels: usize) -> usize {
    channels.div_ceil(CHANNELS)
}
