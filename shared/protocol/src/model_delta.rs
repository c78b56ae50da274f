//! The shorter way to a round's model, for sites that have the one before.

use consilium_domain::{BlobRef, Lane};
use serde::{Deserialize, Serialize};

/// What makes the model `to` of the model `from`.
///
/// An offer: the order that follows names the model as ever, and a site that lacks `from`, or gets something else of
/// `delta` than `to`, fetches the model itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDelta {
    /// Whose models they are.
    pub lane: Lane,
    /// The model the round started from.
    pub from: BlobRef,
    /// The model it ended with.
    pub to: BlobRef,
    /// What the round changed: bytes of `consilium_privacy::apply_delta`.
    pub delta: BlobRef,
}
