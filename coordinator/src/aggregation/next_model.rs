//! The model that a round ends with, written block by block beside the one it started from.

use consilium_codec::{BLOCK_VALUES, Packer, Unpacker};
use consilium_domain::BlobRef;
use consilium_privacy::{DeltaWriter, Grid, Loss, MeanError, NotFinite, Weighted, add_units, mean_units};
use consilium_transport::{BlobReader, BlobStore, BlobWriter};
use consilium_weights::{FileLayout, Weights, WeightsError};
use rayon::prelude::*;

use super::moved::Moved;
use super::updates::{Wave, read_whole};
use super::{Aggregation, AggregationError};

/// Both models' files, laid out alike.
pub(super) struct NextModel<'a> {
    grid: Grid,
    deltas: DeltaWriter,
    store: &'a BlobStore,
    layout: FileLayout,
    start: BlobRef,
    reader: BlobReader,
    writer: BlobWriter,
}

/// What a thread needs for block after block.
struct Tools {
    unpacker: Unpacker,
    /// One buffer for each site.
    units: Vec<Vec<i32>>,
    model: Vec<f32>,
    bytes: Vec<u8>,
    /// The mean update, in units.
    mean: Vec<i32>,
    /// The same, unrounded.
    exact_mean: Vec<f64>,
    packer: Packer,
}

/// What came of one block of coordinates, beside its part of the model.
pub(super) struct Summed {
    /// How the updates lay to their mean.
    pub(super) moved: Moved,
    /// The mean, packed.
    pub(super) delta: Vec<u8>,
    /// What packing took from it.
    pub(super) loss: Loss,
}

impl<'a> NextModel<'a> {
    pub(super) fn begin(
        aggregation: &'a Aggregation,
        grid: Grid,
        store: &'a BlobStore,
    ) -> Result<Self, AggregationError> {
        let layout = FileLayout::of(aggregation.manifest.clone());
        let start = laid_out(aggregation, &layout, store)?;
        let reader = store.reader(&start)?;
        let writer = store.writer(layout.bytes())?;
        writer.write_at(0, layout.header())?;
        let deltas = DeltaWriter::new(aggregation.wire, grid);
        Ok(Self { grid, deltas, store, layout, start, reader, writer })
    }

    /// The model the round started from is what its digest says. Its parts are read in another order meanwhile.
    pub(super) fn verify_start(&self) -> Result<(), AggregationError> {
        Ok(self.store.reader(&self.start)?.verify()?)
    }

    /// Sums the blocks of a wave, and writes their part of the model.
    pub(super) fn sum(&self, wave: &Wave<'_>) -> Result<Vec<Summed>, AggregationError> {
        let tools = || Tools {
            unpacker: Unpacker::new(),
            units: vec![vec![0; BLOCK_VALUES]; wave.parts.len()],
            model: Vec::with_capacity(BLOCK_VALUES),
            bytes: Vec::with_capacity(BLOCK_VALUES * FileLayout::VALUE_BYTES),
            mean: vec![0; BLOCK_VALUES],
            exact_mean: Vec::with_capacity(BLOCK_VALUES),
            packer: Packer::new(),
        };
        (0..wave.blocks())
            .into_par_iter()
            .map_init(tools, |tools, block| self.sum_block(wave, block, tools))
            .collect()
    }

    fn sum_block(
        &self,
        wave: &Wave<'_>,
        block: usize,
        tools: &mut Tools,
    ) -> Result<Summed, AggregationError> {
        let mut updates = Vec::with_capacity(wave.parts.len());
        for (part, units) in wave.parts.iter().zip(&mut tools.units) {
            let block = &part.blocks[block];
            let units = &mut units[..block.values()];
            block.decode(&part.bytes, &mut tools.unpacker, units).map_err(|source| {
                AggregationError::Payload { site: part.contribution.site.clone(), source }
            })?;
            updates.push(Weighted { units, cases: part.contribution.cases });
        }
        let first = (wave.first + block) * BLOCK_VALUES;
        let values = updates.first().map_or(0, |update| update.units.len());
        let mean = &mut tools.mean[..values];
        mean_units(&updates, self.grid, mean).map_err(|error| match error {
            MeanError::Add { place, source } => {
                AggregationError::Add { site: wave.parts[place].contribution.site.clone(), source }
            }
            MeanError::NoContributions(error) => error.into(),
        })?;
        let mut delta = Vec::new();
        let loss = self.deltas.block(mean, &mut tools.packer, &mut delta);
        self.read(first, values, &mut tools.bytes, &mut tools.model)?;
        add_units(mean, self.grid, &mut tools.model)
            .map_err(|NotFinite { index }| NotFinite { index: first + index })?;
        self.write(first, &mut tools.bytes, &tools.model)?;
        let units: Vec<(&[i32], u32)> = updates.iter().map(|update| (update.units, update.cases)).collect();
        Ok(Summed { moved: Moved::of(&units, &mut tools.exact_mean), delta, loss })
    }

    /// `values` coordinates of the model the round started from, from `first` on.
    fn read(
        &self,
        first: usize,
        values: usize,
        bytes: &mut Vec<u8>,
        model: &mut Vec<f32>,
    ) -> Result<(), AggregationError> {
        model.clear();
        for run in self.layout.runs(first..first + values) {
            bytes.resize(run.coordinates.len() * FileLayout::VALUE_BYTES, 0);
            self.reader.read_at(run.offset, bytes)?;
            model.extend(bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)));
        }
        Ok(())
    }

    /// The next model's coordinates from `first` on.
    fn write(&self, first: usize, bytes: &mut Vec<u8>, model: &[f32]) -> Result<(), AggregationError> {
        for run in self.layout.runs(first..first + model.len()) {
            let values = &model[run.coordinates.start - first..run.coordinates.end - first];
            FileLayout::encode(values, bytes);
            self.writer.write_at(run.offset, bytes)?;
        }
        Ok(())
    }

    /// Gives the new model its name, durably.
    pub(super) fn finish(self) -> Result<BlobRef, AggregationError> {
        Ok(self.writer.finish()?)
    }
}

impl Aggregation {
    fn unusable(&self, source: WeightsError) -> AggregationError {
        AggregationError::Model { lane: self.lane, round: self.round, source }
    }
}

/// The start's file, laid out as this version lays files out. Another version of the library may have chosen another
/// header for the same tensors: then its values are written anew.
fn laid_out(
    aggregation: &Aggregation,
    layout: &FileLayout,
    store: &BlobStore,
) -> Result<BlobRef, AggregationError> {
    let start = aggregation.start;
    if start.bytes == layout.bytes() {
        let mut header = vec![0; layout.header().len()];
        store.reader(&start)?.read_at(0, &mut header)?;
        if header == layout.header() {
            return Ok(start);
        }
    }
    let content = read_whole(store, &start)?;
    let weights = Weights::from_safetensors(&content, aggregation.manifest.clone())
        .map_err(|source| aggregation.unusable(source))?;
    let content = weights.to_safetensors();
    let writer = store.writer(content.len() as u64)?;
    writer.write_at(0, &content)?;
    Ok(writer.finish()?)
}
