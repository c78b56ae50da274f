//! What a round changed of a model, in the bytes of an update: whoever has the model before makes the next one of it.
//!
//! A round's model is *defined* by them: the sites' mean is rounded to the grid, told as the study's wire says, and
//! what is told is added to the model. So a site that adds it gets the coordinator's model bit for bit. They say no more
//! than the two models do, which every site may have.

use std::io::Read;

use consilium_codec::{BLOCK_VALUES, Packer, UnitCodec, Unpacker};
use consilium_domain::Wire;
use rayon::prelude::*;

use crate::pack::{LENGTH_BYTES, Loss, codec, header};
use crate::{Block, Grid, PayloadError, ReadError, UpdateReader, most_update_bytes};

/// Blocks that are in memory at once: some for every processor, little beside a model.
const BLOCKS_AT_ONCE: usize = 64;

/// How deltas are told in a study whose updates are told by `wire`.
///
/// Eight bits need what they could not tell to be kept and added the next time, which only sites do: a study with
/// `int8` has the deltas of `bf16`.
pub const fn delta_wire(wire: Wire) -> Wire {
    match wire {
        Wire::F32 => Wire::F32,
        Wire::Bf16 | Wire::Int8 => Wire::Bf16,
    }
}

/// The most bytes of a delta of `coordinates` coordinates.
pub fn most_delta_bytes(wire: Wire, coordinates: usize) -> u64 {
    most_update_bytes(delta_wire(wire), coordinates)
}

/// A coordinate of the model, or its next value, is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("coordinate {index} of the model is not finite: it cannot be the model this round started from")]
pub struct NotFinite {
    /// The first such coordinate.
    pub index: usize,
}

/// Moves `model` by `units` of `grid`, one for each coordinate: added in `f64`, rounded once.
///
/// # Errors
/// When a value is not finite; the model is then of no use.
pub fn add_units(units: &[i32], grid: Grid, model: &mut [f32]) -> Result<(), NotFinite> {
    // A power of two, so that it is exact.
    let unit = 1.0 / f64::from(grid.scale());
    let mut finite = true;
    for (value, &units) in model.iter_mut().zip(units) {
        *value = (f64::from(*value) + f64::from(units) * unit) as f32;
        finite &= value.is_finite();
    }
    // The first is looked for only when there is one: all at once is what a processor does many at a time.
    match model.iter().position(|value| !finite && !value.is_finite()) {
        Some(index) => Err(NotFinite { index }),
        None => Ok(()),
    }
}

/// Writes deltas, block by block.
#[derive(Debug, Clone, Copy)]
pub struct DeltaWriter {
    codec: UnitCodec,
    limit: i32,
}

impl DeltaWriter {
    /// Of a study with this wire and grid.
    pub fn new(wire: Wire, grid: Grid) -> Self {
        Self { codec: codec(delta_wire(wire)), limit: grid.max_units() }
    }

    /// Appends the block of `units` to `out`, and replaces them by what is told.
    pub fn block(self, units: &mut [i32], packer: &mut Packer, out: &mut Vec<u8>) -> Loss {
        let wanted = (self.codec != UnitCodec::Lossless).then(|| units.to_vec());
        let start = out.len();
        out.extend([0; LENGTH_BYTES]);
        self.codec.encode(units, self.limit, packer, out);
        let length = (out.len() - start - LENGTH_BYTES) as u32;
        out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        wanted.map_or_else(Loss::default, |wanted| Loss::between(&wanted, units))
    }

    /// What stands before the blocks of a model with `coordinates` coordinates, which lost so much in all.
    pub fn header(self, coordinates: usize, loss: Loss) -> Vec<u8> {
        header(self.codec, coordinates, loss.relative_error())
    }
}

/// Why a delta makes no model.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// It is none of this study.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The model is not the one before it.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
}

impl DeltaError {
    /// Where the model began at coordinate `first` of another.
    fn counted_on_from(self, first: usize) -> Self {
        match self {
            Self::NotFinite(NotFinite { index }) => NotFinite { index: first + index }.into(),
            other => other,
        }
    }
}

impl From<PayloadError> for DeltaError {
    fn from(error: PayloadError) -> Self {
        Self::Read(error.into())
    }
}

/// Makes the next model of `model` by a delta that is read a part at a time, on all processors.
///
/// # Errors
/// When it is no delta of this study and model, or cannot be read; the model is then of no use.
pub fn apply_delta(delta: impl Read, wire: Wire, grid: Grid, model: &mut [f32]) -> Result<(), DeltaError> {
    let mut reader = UpdateReader::open(delta, delta_wire(wire), model.len(), grid)?;
    let (mut packed, mut blocks) = (Vec::new(), Vec::with_capacity(BLOCKS_AT_ONCE));
    for (part, values) in model.chunks_mut(BLOCKS_AT_ONCE * BLOCK_VALUES).enumerate() {
        packed.clear();
        blocks.clear();
        while blocks.len() < BLOCKS_AT_ONCE
            && let Some(block) = reader.next_block(&mut packed)?
        {
            blocks.push(block);
        }
        let first = part * BLOCKS_AT_ONCE * BLOCK_VALUES;
        add_blocks(&blocks, &packed, grid, values).map_err(|error| error.counted_on_from(first))?;
    }
    reader.end()?;
    Ok(())
}

/// Moves `values` by `blocks`, whose bytes are in `packed`.
fn add_blocks(blocks: &[Block], packed: &[u8], grid: Grid, values: &mut [f32]) -> Result<(), DeltaError> {
    let tools = || (Unpacker::new(), vec![0; BLOCK_VALUES]);
    values.par_chunks_mut(BLOCK_VALUES).zip(blocks).enumerate().try_for_each_init(
        tools,
        |(unpacker, units), (number, (values, block))| {
            let units = &mut units[..values.len()];
            block.decode(packed, unpacker, units)?;
            add_units(units, grid, values)
                .map_err(|error| DeltaError::from(error).counted_on_from(number * BLOCK_VALUES))
        },
    )
}

#[cfg(test)]
mod tests {
    use consilium_domain::{FixedPoint, Seed};
    use proptest::prelude::*;

    use super::*;

    fn grid() -> Grid {
        Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).unwrap()
    }

    /// A delta of `units`, and what it tells.
    fn written(wire: Wire, units: &[i32]) -> (Vec<u8>, Vec<i32>) {
        let (writer, mut told, mut blocks) = (DeltaWriter::new(wire, grid()), units.to_vec(), Vec::new());
        let mut loss = Loss::default();
        for block in told.chunks_mut(BLOCK_VALUES) {
            loss += writer.block(block, &mut Packer::new(), &mut blocks);
        }
        ([writer.header(units.len(), loss), blocks].concat(), told)
    }

    proptest! {
        #[test]
        fn who_adds_it_gets_the_model_to_the_bit(coordinates in 0usize..70_000, bits in 0u32..=30, seed: u64) {
            let mut stream = Seed::from_number(seed).stream();
            let most = f64::from(1 << bits);
            let units: Vec<i32> = (0..coordinates).map(|_| stream.between(-most, most) as i32).collect();
            let before: Vec<f32> = (0..coordinates).map(|_| stream.between(-2.0, 2.0) as f32).collect();
            for wire in [Wire::F32, Wire::Bf16, Wire::Int8] {
                let (bytes, told) = written(wire, &units);
                prop_assert!(wire != Wire::F32 || told == units);
                let (mut ours, mut theirs) = (before.clone(), before.clone());
                add_units(&told, grid(), &mut ours).unwrap();
                apply_delta(&bytes[..], wire, grid(), &mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn the_bytes_are_an_updates() {
        let (bytes, told) = written(Wire::Int8, &[1, -1, 257]);
        assert_eq!(told, [1, -1, 256]);
        assert_eq!(&bytes[..20], b"CONSUPD2\x03\0\0\0\0\0\0\0\x02\0\0\0");
        let error = f32::from_le_bytes(bytes[20..24].try_into().unwrap());
        assert!((error - 1.0 / (2.0f32 + 257.0 * 257.0).sqrt()).abs() < 1e-9, "{error}");
    }

    #[test]
    fn what_is_no_delta_of_this_model_is_refused() {
        let (bytes, _) = written(Wire::F32, &[1, 2]);
        assert!(matches!(apply_delta(&bytes[..], Wire::F32, grid(), &mut [0.0]), Err(DeltaError::Read(_))));
        assert!(matches!(
            apply_delta(&bytes[..], Wire::Bf16, grid(), &mut [0.0; 2]),
            Err(DeltaError::Read(_))
        ));
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(
            apply_delta(&longer[..], Wire::F32, grid(), &mut [0.0; 2]),
            Err(DeltaError::Read(_))
        ));
        let broken = apply_delta(&bytes[..], Wire::F32, grid(), &mut [0.0, f32::NAN]);
        assert!(matches!(broken, Err(DeltaError::NotFinite(NotFinite { index: 1 }))));
    }
}
