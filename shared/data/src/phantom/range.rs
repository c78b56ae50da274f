//! An interval from which a property of a phantom is drawn.

use consilium_domain::RandomStream;

/// A uniform distribution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    low: f32,
    high: f32,
}

impl Range {
    pub(super) const fn new(low: f32, high: f32) -> Self {
        Self { low, high }
    }

    pub(super) fn draw(self, stream: &mut RandomStream) -> f32 {
        stream.between(f64::from(self.low), f64::from(self.high)) as f32
    }

    /// `value` in standard deviations from the mean of this distribution.
    pub(super) fn standardise(self, value: f32) -> f32 {
        (value - (self.low + self.high) / 2.0) / ((self.high - self.low) / 12f32.sqrt())
    }
}
