//! What a round changed, in a blob of its own: sites that have the model before it fetch this instead of the next.

use consilium_domain::BlobRef;
use consilium_privacy::{DeltaWriter, Grid, Loss, most_delta_bytes};
use consilium_transport::{BlobStore, BlobWriter};

use super::next_model::Summed;
use super::{Aggregation, AggregationError};

/// The blob, as far as it is written.
pub(super) struct Delta {
    format: DeltaWriter,
    coordinates: usize,
    file: BlobWriter,
    /// Where the next block goes.
    end: u64,
    loss: Loss,
}

impl Delta {
    pub(super) fn begin(
        aggregation: &Aggregation,
        grid: Grid,
        store: &BlobStore,
    ) -> Result<Self, AggregationError> {
        let (format, coordinates) = (DeltaWriter::new(aggregation.wire, grid), aggregation.coordinates());
        let file = store.writer(most_delta_bytes(aggregation.wire, coordinates))?;
        let (loss, end) = (Loss::default(), format.header(coordinates, Loss::default()).len() as u64);
        Ok(Self { format, coordinates, file, end, loss })
    }

    /// Appends the next block.
    pub(super) fn append(&mut self, block: &Summed) -> Result<(), AggregationError> {
        self.file.write_at(self.end, &block.delta)?;
        self.end += block.delta.len() as u64;
        self.loss += block.loss;
        Ok(())
    }

    /// Gives it its name, durably.
    pub(super) fn finish(mut self) -> Result<BlobRef, AggregationError> {
        self.file.write_at(0, &self.format.header(self.coordinates, self.loss))?;
        self.file.cut(self.end)?;
        tracing::debug!(bytes = self.end, relative_error = self.loss.relative_error(), "delta written");
        Ok(self.file.finish()?)
    }
}
