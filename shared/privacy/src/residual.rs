//! What a site could not tell of an update, kept for the next one of the same lane. It stays there.

use std::fmt;
use std::io::{self, Read, Write};

use consilium_codec::{BLOCK_VALUES, DecodeError, UnitCodec, Unpacker};

use crate::Grid;
use crate::pack::LENGTH_BYTES;

const MAGIC: &[u8; 8] = b"CONSRES1";

/// The rounding errors of one update, in units of the grid: as secret as the update.
///
/// It cannot be serialised, its `Debug` shows no value, and its bytes only go where somebody has declared to keep
/// them in the hospital ([`PrivateSink`]); a `Vec` that could be sent is no such place.
///
/// ```compile_fail
/// fn leaves<T: serde::Serialize>() {}
/// leaves::<consilium_privacy::Residual>();
/// ```
///
/// ```compile_fail
/// fn leaves(residual: consilium_privacy::Residual) {
///     residual.keep(&mut Vec::<u8>::new());
/// }
/// ```
pub struct Residual(Vec<i32>);

/// A place that never leaves the hospital: a file of the site's own, readable by nobody else. Implementing it is the
/// promise.
pub trait PrivateSink: Write {}

/// Why what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResidualError {
    /// Of another network.
    #[error(
        "rounding errors of {kept} coordinates were kept, and the update has {update}: they are of another lane"
    )]
    Coordinates {
        /// Coordinates that were kept.
        kept: usize,
        /// Coordinates of the update.
        update: usize,
    },
    /// Not what was written.
    #[error("the kept rounding errors are damaged")]
    Damaged,
    /// One of its blocks is not what was written.
    #[error("the kept rounding errors are damaged: {0}")]
    Block(#[from] DecodeError),
    /// The file cannot be read.
    #[error("the kept rounding errors cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Residual {
    /// What is missing in `told`.
    pub(crate) fn between(mut wanted: Vec<i32>, told: &[i32]) -> Self {
        wanted.iter_mut().zip(told).for_each(|(wanted, told)| *wanted -= told);
        Self(wanted)
    }

    /// Adds it to an update, which saturates at `limit`: both are at most 2^30.
    pub(crate) fn add_to(&self, units: &mut [i32], limit: i32) -> Result<(), ResidualError> {
        if self.0.len() != units.len() {
            return Err(ResidualError::Coordinates { kept: self.0.len(), update: units.len() });
        }
        let pairs = units.iter_mut().zip(&self.0);
        pairs.for_each(|(unit, kept)| *unit = unit.saturating_add(*kept).clamp(-limit, limit));
        Ok(())
    }

    /// Writes it into a place that never leaves the hospital.
    ///
    /// # Errors
    /// When that fails.
    pub fn keep(&self, place: &mut impl PrivateSink) -> io::Result<()> {
        place.write_all(MAGIC)?;
        place.write_all(&(self.0.len() as u64).to_le_bytes())?;
        for block in UnitCodec::Lossless.encode_all(&mut self.0.clone(), Grid::MAX_UNITS) {
            place.write_all(&(block.len() as u32).to_le_bytes())?;
            place.write_all(&block)?;
        }
        Ok(())
    }

    /// Reads what [`Residual::keep`] has written, of an update of `coordinates` coordinates.
    ///
    /// # Errors
    /// When it is something else, or of another network.
    pub fn read(mut place: impl Read, coordinates: usize) -> Result<Self, ResidualError> {
        let mut header = [0; 16];
        place.read_exact(&mut header)?;
        let (magic, count) = header.split_at(8);
        if magic != MAGIC {
            return Err(ResidualError::Damaged);
        }
        let claimed = u64::from_le_bytes(count.try_into().expect("eight bytes"));
        if usize::try_from(claimed) != Ok(coordinates) {
            let kept = usize::try_from(claimed).unwrap_or(usize::MAX);
            return Err(ResidualError::Coordinates { kept, update: coordinates });
        }
        let mut units = vec![0; coordinates];
        let (mut unpacker, mut block) = (Unpacker::new(), Vec::new());
        for units in units.chunks_mut(BLOCK_VALUES) {
            let mut length = [0; LENGTH_BYTES];
            place.read_exact(&mut length)?;
            let length = u32::from_le_bytes(length) as usize;
            if length > UnitCodec::Lossless.most_bytes(units.len()) {
                return Err(ResidualError::Damaged);
            }
            block.resize(length, 0);
            place.read_exact(&mut block)?;
            UnitCodec::Lossless.decode(&block, Grid::MAX_UNITS, &mut unpacker, units)?;
        }
        match place.read(&mut [0])? {
            0 => Ok(Self(units)),
            _ => Err(ResidualError::Damaged),
        }
    }
}

impl fmt::Debug for Residual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Residual({} coordinates)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::{FixedPoint, Seed, Wire};

    use super::*;
    use crate::{LocalUpdate, Packed, UpdateReader};

    /// A test's memory.
    struct Drawer(Vec<u8>);

    impl Write for Drawer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl PrivateSink for Drawer {}

    fn grid() -> Grid {
        Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).unwrap()
    }

    fn packed(change: &[f32], before: Option<&Residual>) -> Packed {
        let update = LocalUpdate::between(&vec![0.0; change.len()], change.to_vec(), 1).unwrap();
        update.clip(grid()).quantise().pack(Wire::Int8, before).unwrap()
    }

    fn told(packed: &Packed, coordinates: usize) -> Vec<i64> {
        let mut reader =
            UpdateReader::open(packed.envelope.payload(), Wire::Int8, coordinates, grid()).unwrap();
        let mut bytes = Vec::new();
        let block = reader.next_block(&mut bytes).unwrap().unwrap();
        let mut units = vec![0; coordinates];
        block.decode(&bytes, &mut Unpacker::new(), &mut units).unwrap();
        units.into_iter().map(i64::from).collect()
    }

    #[test]
    fn nothing_is_lost_over_the_rounds_but_the_last_ones_rounding() {
        const COORDINATES: usize = 300;
        let mut stream = Seed::from_number(5).stream();
        let (mut wanted, mut summed) = (vec![0i64; COORDINATES], vec![0i64; COORDINATES]);
        let mut kept = None;
        for _ in 0..20 {
            let change: Vec<f32> = (0..COORDINATES).map(|_| stream.between(-0.01, 0.01) as f32).collect();
            let packed = packed(&change, kept.as_ref());
            for (wanted, change) in wanted.iter_mut().zip(&change) {
                *wanted += (f64::from(*change) * f64::from(1 << 24)).round_ties_even() as i64;
            }
            summed.iter_mut().zip(told(&packed, COORDINATES)).for_each(|(sum, told)| *sum += told);
            kept = packed.residual;
        }
        let kept = kept.unwrap();
        assert!(kept.0.iter().any(|&unit| unit != 0), "eight bits cannot tell everything");
        for ((wanted, summed), kept) in wanted.iter().zip(summed).zip(&kept.0) {
            assert_eq!(*wanted, summed + i64::from(*kept));
        }
    }

    #[test]
    fn it_comes_back_as_it_was_kept_and_damage_is_noticed() {
        let change: Vec<f32> = (0..1_000).map(|i| (i % 37) as f32 * 1e-4).collect();
        let residual = packed(&change, None).residual.unwrap();
        let mut drawer = Drawer(Vec::new());
        residual.keep(&mut drawer).unwrap();
        assert_eq!(Residual::read(&drawer.0[..], 1_000).unwrap().0, residual.0);
        let other = Residual::read(&drawer.0[..], 999);
        assert!(matches!(other, Err(ResidualError::Coordinates { kept: 1_000, update: 999 })));
        let cut = Residual::read(&drawer.0[..drawer.0.len() - 1], 1_000);
        assert!(matches!(cut, Err(ResidualError::Io(_))));
        drawer.0.push(0);
        assert!(matches!(Residual::read(&drawer.0[..], 1_000), Err(ResidualError::Damaged)));
        assert_eq!(format!("{residual:?}"), "Residual(1000 coordinates)");
        let update = LocalUpdate::between(&[0.0], vec![1.0], 1).unwrap().clip(grid()).quantise();
        let foreign = update.pack(Wire::Int8, Some(&residual));
        assert!(matches!(foreign, Err(ResidualError::Coordinates { kept: 1_000, update: 1 })));
    }
}
