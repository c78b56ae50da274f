//! Sound files with bytes changed, fields changed or the end cut off: never a panic, and memory in proportion
//! to the bytes that are really there.

use proptest::prelude::*;

use crate::body;
use crate::files::{DATATYPES, NiftiFile, gzip};

/// Memory for one file of some hundred bytes: buffers, inflater, and voxels at the best compression there is.
const CAP_BYTES: u64 = 2 << 20;

/// Values at the edges of what a header's fields can hold.
fn extreme() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(0.0),
        Just(-0.0),
        Just(f64::MIN_POSITIVE),
        Just(f64::from(f32::MAX)),
        Just(1e300),
        -4.0..400.0f64,
    ]
}

/// Sizes at the edges of what a header's fields can hold.
fn size() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(32767), Just(65536), Just(1 << 32), -2..9i64]
}

prop_compose! {
    fn wild_header()(
        version2: bool,
        big_endian: bool,
        datatype in 0..DATATYPES.len(),
        dim in prop::array::uniform8(size()),
        keep_dim: bool,
        reals in prop::array::uniform32(extreme()),
        keep_reals: bool,
        codes in (-1..3i16, -1..3i16, 0..8u8),
    ) -> NiftiFile {
        let base = if version2 { NiftiFile::sound2() } else { NiftiFile::sound() };
        let mut file = NiftiFile { big_endian, ..base }.with_datatype(DATATYPES[datatype]);
        (file.qform_code, file.sform_code, file.units) = codes;
        if !keep_dim {
            file.dim = dim;
        }
        if !keep_reals {
            file.pixdim.copy_from_slice(&reals[..8]);
            file.quaternion.copy_from_slice(&reals[8..11]);
            file.offset.copy_from_slice(&reals[11..14]);
            file.srow.as_flattened_mut().copy_from_slice(&reals[14..26]);
            (file.slope, file.intercept) = (reals[26], reals[27]);
        }
        file
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_mutation_panics_or_takes_memory(
        file in wild_header(),
        patches in prop::collection::vec((0usize..600, any::<u8>()), 0..6),
        keep in 0.0..1.5f64,
        compress: bool,
        damage in prop::option::of((0usize..1000, any::<u8>())),
    ) {
        let mut bytes = file.bytes();
        for (at, byte) in patches {
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        if compress {
            bytes = gzip(&bytes);
            if let Some((at, byte)) = damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
        }
        let memory = allocation_counter::measure(|| body::check(&bytes));
        prop_assert!(memory.bytes_max <= CAP_BYTES, "{} bytes", memory.bytes_max);
    }
}
