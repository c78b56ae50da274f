//! An update read block by block, by someone who trusts nobody and holds one block at a time.
//!
//! Reading is one after the other, decoding in any order and on any thread: [`UpdateReader`] hands out [`Block`]s
//! that only say where their bytes are.

use std::io::{self, Read};
use std::ops::Range;

use consilium_codec::{BLOCK_VALUES, UnitCodec, Unpacker};
use consilium_domain::Wire;

use crate::pack::{self, EXTRA_BYTES, LENGTH_BYTES};
use crate::payload::{self, HEADER_BYTES, UNIT_BYTES};
use crate::{Grid, PayloadError};

/// Why an update cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is none of this study: the sender's fault, or a damaged disk's.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The file cannot be read: ours.
    #[error("the update cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// How an update's blocks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As they are: sites of before protocol 4.
    Plain,
    Packed(UnitCodec),
}

/// An update's blocks, one after the other.
pub struct UpdateReader<R> {
    source: R,
    form: Form,
    coordinates: usize,
    grid: Grid,
    /// Number of the next block.
    next: usize,
    relative_error: f64,
}

/// Where a block's bytes are, and what they hold.
#[derive(Debug, Clone)]
pub struct Block {
    number: usize,
    values: usize,
    bytes: Range<usize>,
    form: Form,
    grid: Grid,
}

impl<R: Read> UpdateReader<R> {
    /// Reads the header of an update of a model with `coordinates` coordinates, in a study with this wire and grid.
    ///
    /// # Errors
    /// When it is of another study, or `source` fails.
    pub fn open(mut source: R, wire: Wire, coordinates: usize, grid: Grid) -> Result<Self, ReadError> {
        let mut header = [0; HEADER_BYTES];
        let read = read_fully(&mut source, &mut header)?;
        if read < HEADER_BYTES {
            return Err(PayloadError::Truncated(read).into());
        }
        let [magic, count] = [&header[..8], &header[8..]];
        let packed = magic == pack::MAGIC;
        // Plain bytes tell every unit: a study that agreed to lose none takes them from sites of before.
        if !packed && (magic != payload::MAGIC || wire != Wire::F32) {
            return Err(PayloadError::Magic.into());
        }
        let claimed = u64::from_le_bytes(count.try_into().expect("eight bytes"));
        if usize::try_from(claimed) != Ok(coordinates) {
            return Err(PayloadError::Coordinates { claimed, expected: coordinates }.into());
        }
        let (form, relative_error) = if packed { read_extra(&mut source, wire)? } else { (Form::Plain, 0.0) };
        Ok(Self { source, form, coordinates, grid, next: 0, relative_error })
    }

    /// What the site says that rounding took, relative to the update: a claim.
    pub const fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// The number of the block that comes next.
    pub const fn next_number(&self) -> usize {
        self.next
    }

    /// Appends the bytes of the next block to `bytes`; none after the last.
    ///
    /// # Errors
    /// When there are too few bytes for it, or too many for any block, or `source` fails.
    pub fn next_block(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Block>, ReadError> {
        let (number, first) = (self.next, self.next * BLOCK_VALUES);
        if first >= self.coordinates {
            return Ok(None);
        }
        let values = BLOCK_VALUES.min(self.coordinates - first);
        let cut = PayloadError::Cut { block: number };
        let length = match self.form {
            Form::Plain => values * UNIT_BYTES,
            Form::Packed(codec) => {
                let mut length = [0; LENGTH_BYTES];
                if read_fully(&mut self.source, &mut length)? < LENGTH_BYTES {
                    return Err(cut.into());
                }
                let length = u32::from_le_bytes(length) as usize;
                if length > codec.most_bytes(values) {
                    return Err(cut.into());
                }
                length
            }
        };
        let start = bytes.len();
        bytes.resize(start + length, 0);
        if read_fully(&mut self.source, &mut bytes[start..])? < length {
            return Err(cut.into());
        }
        self.next += 1;
        Ok(Some(Block { number, values, bytes: start..start + length, form: self.form, grid: self.grid }))
    }

    /// Nothing may follow the last block, which must have been read. Gives the source back.
    ///
    /// # Errors
    /// When something follows or is left, or `source` fails.
    pub fn end(mut self) -> Result<R, ReadError> {
        if self.next * BLOCK_VALUES < self.coordinates {
            return Err(PayloadError::Cut { block: self.next }.into());
        }
        match read_fully(&mut self.source, &mut [0])? {
            0 => Ok(self.source),
            _ => Err(PayloadError::Trailing.into()),
        }
    }
}

impl Block {
    /// Number of coordinates: [`BLOCK_VALUES`] but for the last block.
    pub const fn values(&self) -> usize {
        self.values
    }

    /// Decodes it out of the buffer that [`UpdateReader::next_block`] appended it to, into exactly
    /// [`Block::values`] units, all within the grid.
    ///
    /// # Errors
    /// When the bytes are no block of this study.
    pub fn decode(
        &self,
        bytes: &[u8],
        unpacker: &mut Unpacker,
        units: &mut [i32],
    ) -> Result<(), PayloadError> {
        let bytes = &bytes[self.bytes.clone()];
        let limit = self.grid.max_units();
        match self.form {
            Form::Plain => self.decode_plain(bytes, limit, units),
            Form::Packed(codec) => codec
                .decode(bytes, limit, unpacker, units)
                .map_err(|source| PayloadError::Block { block: self.number, source }),
        }
    }

    fn decode_plain(&self, bytes: &[u8], limit: i32, units: &mut [i32]) -> Result<(), PayloadError> {
        let beyond = |unit: i32| unit.unsigned_abs() > limit.unsigned_abs();
        let mut any = false;
        for (unit, word) in units.iter_mut().zip(bytes.as_chunks().0) {
            *unit = i32::from_le_bytes(*word);
            any |= beyond(*unit);
        }
        match units.iter().position(|&unit| any && beyond(unit)) {
            Some(place) => {
                let index = self.number * BLOCK_VALUES + place;
                Err(PayloadError::BeyondClip { index, units: units[place], limit })
            }
            None => Ok(()),
        }
    }
}

/// The part of the header that only packed updates have.
fn read_extra(source: &mut impl Read, agreed: Wire) -> Result<(Form, f64), ReadError> {
    let mut extra = [0; EXTRA_BYTES];
    let read = read_fully(source, &mut extra)?;
    if read < EXTRA_BYTES {
        return Err(PayloadError::Truncated(HEADER_BYTES + read).into());
    }
    let [code, reserved @ .., e0, e1, e2, e3] = extra;
    let codec = pack::codec(agreed);
    if code != pack::code(codec) {
        return Err(PayloadError::Wire { code, agreed }.into());
    }
    let error = f32::from_le_bytes([e0, e1, e2, e3]);
    if reserved != [0; 3] || !error.is_finite() || error < 0.0 {
        return Err(PayloadError::Header.into());
    }
    Ok((Form::Packed(codec), f64::from(error)))
}

/// Fills `buffer` as far as `source` goes, and says how far.
fn read_fully(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match source.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;
    use proptest::prelude::*;

    use super::*;
    use crate::LocalUpdate;

    const WIRES: [Wire; 3] = [Wire::F32, Wire::Bf16, Wire::Int8];

    fn grid() -> Grid {
        Grid::new(FixedPoint { clip: 1, fraction_bits: 8 }).unwrap()
    }

    fn packed(units: &[i32], wire: Wire) -> Vec<u8> {
        let change: Vec<f32> = units.iter().map(|&unit| unit as f32 / 256.0).collect();
        let update = LocalUpdate::between(&vec![0.0; units.len()], change, 1).unwrap();
        update.clip(grid()).quantise().pack(wire, None).unwrap().envelope.into_parts().0
    }

    fn read(bytes: &[u8], wire: Wire, coordinates: usize) -> Result<Vec<i32>, ReadError> {
        let mut reader = UpdateReader::open(bytes, wire, coordinates, grid())?;
        let (mut buffer, mut unpacker, mut all) = (Vec::new(), Unpacker::new(), Vec::new());
        while let Some(block) = reader.next_block(&mut buffer)? {
            let mut units = vec![0; block.values()];
            block.decode(&buffer, &mut unpacker, &mut units)?;
            all.extend(units);
        }
        assert_eq!(reader.end()?, [0u8; 0]);
        Ok(all)
    }

    fn refusal(bytes: &[u8], wire: Wire, coordinates: usize) -> PayloadError {
        match read(bytes, wire, coordinates) {
            Err(ReadError::Payload(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_wire_and_plain_bytes_are_read_in_blocks() {
        // Small enough for every codec to lose nothing.
        let units: Vec<i32> = (0..BLOCK_VALUES as i32 + 3).map(|i| i % 128).collect();
        for wire in WIRES {
            assert_eq!(read(&packed(&units, wire), wire, units.len()).unwrap(), units);
            assert_eq!(read(&packed(&[], wire), wire, 0).unwrap(), [0; 0]);
        }
        assert_eq!(read(&payload::write(&units), Wire::F32, units.len()).unwrap(), units);
    }

    #[test]
    fn each_fault_has_its_own_refusal() {
        let good = packed(&[1, -256, 256], Wire::F32);
        let with = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            refusal(&bytes, Wire::F32, 3)
        };
        assert_eq!(refusal(&good[..15], Wire::F32, 3), PayloadError::Truncated(15));
        assert_eq!(refusal(&good[..23], Wire::F32, 3), PayloadError::Truncated(23));
        assert_eq!(with(7, b'3'), PayloadError::Magic);
        assert_eq!(with(8, 4), PayloadError::Coordinates { claimed: 4, expected: 3 });
        assert_eq!(with(16, 2), PayloadError::Wire { code: 2, agreed: Wire::F32 });
        assert_eq!(with(17, 1), PayloadError::Header);
        assert_eq!(with(23, 0xff), PayloadError::Header, "a negative error");
        assert_eq!(with(27, 1), PayloadError::Cut { block: 0 }, "16 MiB for three numbers");
        assert!(matches!(with(28, 9), PayloadError::Block { block: 0, .. }));
        assert_eq!(refusal(&good[..good.len() - 1], Wire::F32, 3), PayloadError::Cut { block: 0 });
        assert_eq!(refusal(&[&good[..], &[0]].concat(), Wire::F32, 3), PayloadError::Trailing);
        let plain = payload::write(&[1, 2, 257]);
        let beyond = PayloadError::BeyondClip { index: 2, units: 257, limit: 256 };
        assert_eq!(refusal(&plain, Wire::F32, 3), beyond);
        assert_eq!(refusal(&plain, Wire::Bf16, 3), PayloadError::Magic, "the study agreed on another wire");
        assert_eq!(refusal(&plain[..27], Wire::F32, 3), PayloadError::Cut { block: 0 });
    }

    #[test]
    fn an_update_is_not_over_before_its_last_block() {
        let bytes = packed(&[1, 2, 3], Wire::Bf16);
        let reader = UpdateReader::open(&bytes[..], Wire::Bf16, 3, grid()).unwrap();
        assert!(matches!(reader.end(), Err(ReadError::Payload(PayloadError::Cut { block: 0 }))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_exceed_the_clip(
            units in prop::collection::vec(-256i32..=256, 0..50),
            wire in prop::sample::select(&WIRES[..]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = packed(&units, wire);
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(read) = read(&bytes, wire, units.len()) {
                prop_assert_eq!(read.len(), units.len());
                prop_assert!(read.iter().all(|units| (-256..=256).contains(units)));
            }
        }
    }
}
