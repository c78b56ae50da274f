//! Checkpoints of every kind: whole ones in both containers, real fixtures, broken and hostile ones.

#[path = "../../../../fuzz/bodies/checkpoint.rs"]
mod body;
mod broken;
mod corpus;
mod fixtures;
mod full_size;
mod layouts;
mod mismatch;
mod mutations;
mod torch;
mod writer;

use consilium_domain::network::{Depth, NetworkSpec};

/// The smallest network there is: tests that ask nothing of the size use it.
const SMALL: NetworkSpec = NetworkSpec { depth: Depth::D10, width: 1 };
