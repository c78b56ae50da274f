//! What must hold for every byte string that claims to be a block: shared by the fuzz target `block` and by the
//! plain tests over its corpus and over mutations.

use consilium_codec::{DecodeError, Packer, UnitCodec, Unpacker, unpack_words};

/// As the sample study: 2^30 units at most.
const LIMIT: i32 = 1 << 30;

/// Reads `bytes` in every way there is: the first byte says how many numbers are expected. Panics where a decoder
/// breaks a promise.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&expected, block)) = bytes.split_first() else { return };
    let mut unpacker = Unpacker::new();
    for codec in UnitCodec::ALL {
        for limit in [LIMIT, 256] {
            let mut units = vec![0; 4 * usize::from(expected)];
            match codec.decode(block, limit, &mut unpacker, &mut units) {
                Ok(()) => sound(codec, limit, units),
                Err(DecodeError::Value { index }) => assert!(index < units.len()),
                Err(_) => {}
            }
        }
    }
    let mut words = vec![0; usize::from(expected)];
    let _ = unpack_words(block, &mut unpacker, &mut words);
}

/// Within the limit; and telling them again loses nothing, but for scales, which another sender may choose worse.
fn sound(codec: UnitCodec, limit: i32, units: Vec<i32>) {
    assert!(units.iter().all(|unit| unit.unsigned_abs() <= limit.unsigned_abs()));
    if codec == UnitCodec::Int8 {
        return;
    }
    let mut told = units.clone();
    let mut again = Vec::new();
    codec.encode(&mut told, limit, &mut Packer::new(), &mut again);
    assert_eq!(told, units, "{codec:?}");
    assert!(again.len() <= codec.most_bytes(units.len()));
}
