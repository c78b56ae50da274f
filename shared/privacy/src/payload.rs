//! The plain bytes of a protected update, and their reading by someone who trusts nobody and has all of them.
//!
//! Sites of before protocol 4 send them; [`crate::UpdateReader`] reads these and packed ones, block by block.
//!
//! ```text
//! offset  0  "CONSUPD1"
//! offset  8  number of coordinates n, u64 little-endian
//! offset 16  n coordinates in units of the study's grid, i32 little-endian
//! ```

use consilium_codec::DecodeError;
use consilium_domain::Wire;

use crate::Grid;

pub(crate) const MAGIC: &[u8; 8] = b"CONSUPD1";
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const UNIT_BYTES: usize = size_of::<i32>();

/// A checked view of a payload: the expected number of coordinates, each within the clip of the grid.
#[derive(Clone, Copy)]
pub struct UpdatePayload<'a> {
    units: &'a [[u8; UNIT_BYTES]],
    grid: Grid,
}

/// Why bytes are no update of this study. The sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not even a header.
    #[error("the update has {0} bytes, fewer than its header of {HEADER_BYTES}: send it whole")]
    Truncated(usize),
    /// Another format.
    #[error("the update does not begin with CONSUPD1: both sides must run compatible versions")]
    Magic,
    /// An update of another network.
    #[error(
        "the update claims {claimed} coordinates where the lane's model has {expected}: \
         train the network of the study"
    )]
    Coordinates {
        /// The number in the header.
        claimed: u64,
        /// The number in the study's manifest.
        expected: usize,
    },
    /// The header and the bytes disagree.
    #[error(
        "the update has {found} bytes where {expected} coordinates make {}: send it whole and once",
        expected_bytes(*expected)
    )]
    Length {
        /// Bytes received.
        found: usize,
        /// Coordinates in the header, as expected.
        expected: usize,
    },
    /// A coordinate that no clipped update has.
    #[error(
        "coordinate {index} is {units} units, beyond the study's clip of {limit}: \
         clip the update before sending"
    )]
    BeyondClip {
        /// The first such coordinate.
        index: usize,
        /// Its value in units of the grid.
        units: i32,
        /// The largest absolute value in units.
        limit: i32,
    },
    /// A packed update of another kind than the study's.
    #[error("the update is told with codec {code}, and the study agreed on wire = \"{}\": use the study's plan", agreed.name())]
    Wire {
        /// The codec's number.
        code: u8,
        /// What the study says.
        agreed: Wire,
    },
    /// The header of a packed update says what cannot be.
    #[error(
        "the header of the update is damaged: its reserved bytes are not zero, or its error is no number"
    )]
    Header,
    /// The file ends, or a block is longer than any.
    #[error("block {block} of the update is cut off or has an impossible length: send it whole")]
    Cut {
        /// The block.
        block: usize,
    },
    /// Something follows the last block.
    #[error("bytes follow the last coordinate of the update: send it whole and once")]
    Trailing,
    /// A block is broken.
    #[error("block {block} of the update cannot be decoded: {source}")]
    Block {
        /// The block.
        block: usize,
        /// What is wrong.
        source: DecodeError,
    },
}

/// Saturates instead of wrapping: no payload has `usize::MAX` bytes.
const fn expected_bytes(coordinates: usize) -> usize {
    coordinates.saturating_mul(UNIT_BYTES).saturating_add(HEADER_BYTES)
}

pub(crate) fn write(units: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(expected_bytes(units.len()));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(units.len() as u64).to_le_bytes());
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes
}

impl<'a> UpdatePayload<'a> {
    /// Bytes of a payload of `coordinates` coordinates: what a receiver may reserve, and the most it should
    /// read.
    pub const fn bytes(coordinates: usize) -> usize {
        expected_bytes(coordinates)
    }

    /// Checks `bytes` against the number of coordinates of the lane's model and the grid of the study.
    pub fn parse(bytes: &'a [u8], coordinates: usize, grid: Grid) -> Result<Self, PayloadError> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(PayloadError::Truncated(bytes.len()))?;
        let (count, rest) = rest.split_first_chunk::<8>().ok_or(PayloadError::Truncated(bytes.len()))?;
        if magic != MAGIC {
            return Err(PayloadError::Magic);
        }
        let claimed = u64::from_le_bytes(*count);
        if usize::try_from(claimed) != Ok(coordinates) {
            return Err(PayloadError::Coordinates { claimed, expected: coordinates });
        }
        if bytes.len() != expected_bytes(coordinates) {
            return Err(PayloadError::Length { found: bytes.len(), expected: coordinates });
        }
        let (units, _) = rest.as_chunks::<UNIT_BYTES>();
        let limit = grid.max_units();
        match units.iter().position(|unit| is_beyond(*unit, limit)) {
            Some(index) => {
                let units = i32::from_le_bytes(units[index]);
                Err(PayloadError::BeyondClip { index, units, limit })
            }
            None => Ok(Self { units, grid }),
        }
    }

    /// Number of coordinates.
    pub const fn coordinates(&self) -> usize {
        self.units.len()
    }

    /// The grid it was checked against.
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// The coordinates in units of the grid.
    pub fn units(&self) -> impl ExactSizeIterator<Item = i32> + 'a {
        self.units.iter().map(|unit| i32::from_le_bytes(*unit))
    }
}

fn is_beyond(unit: [u8; UNIT_BYTES], limit: i32) -> bool {
    // Not `abs`: the smallest i32 has none.
    i32::from_le_bytes(unit).unsigned_abs() > limit.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;
    use proptest::prelude::*;

    use super::*;

    fn grid() -> Grid {
        Grid::new(FixedPoint { clip: 1, fraction_bits: 8 }).unwrap()
    }

    fn refusal(bytes: &[u8], coordinates: usize) -> PayloadError {
        UpdatePayload::parse(bytes, coordinates, grid()).err().expect("it must be refused")
    }

    #[test]
    fn each_fault_has_its_own_refusal() {
        let good = write(&[1, -256, 256]);
        assert!(UpdatePayload::parse(&good, 3, grid()).is_ok());
        assert_eq!(refusal(&good[..15], 3), PayloadError::Truncated(15));
        assert_eq!(refusal(&[], 3), PayloadError::Truncated(0));
        assert_eq!(refusal(&[b"CONSUPD2", &good[8..]].concat(), 3), PayloadError::Magic);
        assert_eq!(refusal(&good, 4), PayloadError::Coordinates { claimed: 3, expected: 4 });
        assert_eq!(refusal(&good[..27], 3), PayloadError::Length { found: 27, expected: 3 });
        assert_eq!(refusal(&[&good[..], b"\0"].concat(), 3), PayloadError::Length { found: 29, expected: 3 });
    }

    #[test]
    fn a_coordinate_beyond_the_clip_is_named() {
        for units in [257, -257, i32::MAX, i32::MIN] {
            let expected = PayloadError::BeyondClip { index: 2, units, limit: 256 };
            assert_eq!(refusal(&write(&[0, 256, units, units]), 4), expected);
        }
    }

    #[test]
    fn a_claimed_length_costs_nothing() {
        let claim = [MAGIC.as_slice(), &u64::MAX.to_le_bytes()].concat();
        let expected = PayloadError::Length { found: 16, expected: usize::MAX };
        assert_eq!(refusal(&claim, usize::MAX), expected);
        assert!(expected.to_string().contains("16 bytes"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(units in prop::collection::vec(-256i32..=256, 0..50)) {
            let bytes = write(&units);
            prop_assert_eq!(bytes.len(), UpdatePayload::bytes(units.len()));
            let payload = UpdatePayload::parse(&bytes, units.len(), grid()).unwrap();
            prop_assert_eq!(payload.units().collect::<Vec<_>>(), units);
        }

        #[test]
        fn no_bytes_make_it_panic_or_exceed_the_clip(
            tail in prop::collection::vec(any::<u8>(), 0..64),
            claimed in prop_oneof![0u64..20, any::<u64>()],
            coordinates in prop_oneof![0usize..20, any::<usize>()],
            with_header: bool,
        ) {
            let mut bytes = if with_header { MAGIC.to_vec() } else { Vec::new() };
            if with_header {
                bytes.extend(claimed.to_le_bytes());
            }
            bytes.extend(tail);
            if let Ok(payload) = UpdatePayload::parse(&bytes, coordinates, grid()) {
                prop_assert_eq!(payload.coordinates(), coordinates);
                prop_assert!(payload.units().all(|units| (-256..=256).contains(&units)));
            }
        }
    }
}
