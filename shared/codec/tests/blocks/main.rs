//! Every codec over every kind of number: what is told is what is read, however small the pieces.

#[path = "../../../../fuzz/bodies/block.rs"]
mod body;

use std::path::Path;

use consilium_codec::{BLOCK_VALUES, Packer, SCALE_VALUES, UnitCodec, Unpacker, pack_words, unpack_words};
use proptest::prelude::*;

const LIMIT: i32 = 1 << 30;

fn units() -> impl Strategy<Value = Vec<i32>> {
    let unit =
        prop_oneof![Just(0), -300..=300, -100_000..=100_000, -LIMIT..=LIMIT, Just(LIMIT), Just(-LIMIT)];
    let uniform = (0u32..=30).prop_flat_map(|bits| {
        let most = 1 << bits;
        prop::collection::vec(-most..=most, 0..900)
    });
    prop_oneof![prop::collection::vec(unit, 0..900), uniform]
}

fn told(codec: UnitCodec, units: &[i32]) -> (Vec<i32>, Vec<u8>) {
    let (mut told, mut block) = (units.to_vec(), Vec::new());
    codec.encode(&mut told, LIMIT, &mut Packer::new(), &mut block);
    (told, block)
}

proptest! {
    #[test]
    fn what_is_told_is_read_within_the_codecs_error(units in units()) {
        for codec in UnitCodec::ALL {
            let (told, block) = told(codec, &units);
            prop_assert!(block.len() <= codec.most_bytes(units.len()));
            let mut read = vec![7; units.len()];
            codec.decode(&block, LIMIT, &mut Unpacker::new(), &mut read).unwrap();
            prop_assert_eq!(&read, &told);
            for (group, told) in units.chunks(SCALE_VALUES).zip(told.chunks(SCALE_VALUES)) {
                let largest = group.iter().map(|unit| unit.unsigned_abs()).max().unwrap();
                for (&unit, &told) in group.iter().zip(told) {
                    let error = f64::from(unit.abs_diff(told));
                    let most = match codec {
                        UnitCodec::Lossless => 0.0,
                        UnitCodec::Bf16 => f64::from(unit.unsigned_abs()) / 256.0,
                        // Beside the limit the last step is not taken: at most a whole one is lost.
                        UnitCodec::Int8 if largest > LIMIT as u32 / 2 => f64::from(largest.div_ceil(127)),
                        UnitCodec::Int8 => f64::from(largest.div_ceil(127)) / 2.0,
                    };
                    prop_assert!(error <= most, "{codec:?}: {unit} was told as {told}");
                }
            }
        }
    }

    #[test]
    fn words_lose_nothing(bytes in prop::collection::vec(any::<u8>(), 0..3_000), uneven: bool) {
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| if uneven { byte & 3 } else { byte }).collect();
        let mut packed = Vec::new();
        pack_words(&bytes, &mut Packer::new(), &mut packed);
        prop_assert!(packed.len() <= bytes.len() + 4);
        let mut read = vec![0; bytes.len()];
        unpack_words(&packed, &mut Unpacker::new(), &mut read).unwrap();
        prop_assert_eq!(read, bytes);
    }

    #[test]
    fn no_bytes_break_a_promise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        body::check(&bytes);
    }

    #[test]
    fn a_damaged_block_breaks_no_promise(
        units in prop::collection::vec(-70_000i32..70_000, 256),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for codec in UnitCodec::ALL {
            let (_, mut block) = told(codec, &units);
            block.insert(0, (units.len() / 4) as u8);
            for (place, byte) in &damage {
                let place = place.index(block.len());
                block[place] = *byte;
            }
            body::check(&block);
            block.truncate(cut.index(block.len()));
            body::check(&block);
        }
    }
}

#[test]
fn many_blocks_at_once_are_the_same_as_one_after_the_other() {
    let all: Vec<i32> = (0..2 * BLOCK_VALUES as i32 + 5).map(|i| i.wrapping_mul(i) % 30_000).collect();
    for codec in UnitCodec::ALL {
        let mut at_once = all.clone();
        let blocks = codec.encode_all(&mut at_once, LIMIT);
        let each: Vec<_> = all.chunks(BLOCK_VALUES).map(|block| told(codec, block)).collect();
        assert_eq!(blocks, each.iter().map(|(_, block)| block.clone()).collect::<Vec<_>>());
        assert_eq!(at_once, each.iter().flat_map(|(told, _)| told.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/block");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        body::check(&std::fs::read(file.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 12, "the corpus has {files} files");
}

/// `cargo test -p consilium-codec --test blocks -- --ignored` writes the corpus anew.
#[test]
#[ignore = "writes into the repository"]
fn write_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/block");
    let small: Vec<i32> = (0..64).map(|i| (i * 7919) % 513 - 256).collect();
    let large: Vec<i32> = (0..64).map(|i| (i * 104_729) % 2_000_001 - 1_000_000).collect();
    let even = vec![3; 64];
    let uneven: Vec<i32> = (0..1_000u32).map(|i| (i.wrapping_mul(i) / 7 % 5) as i32 * 300 - 600).collect();
    for (name, units) in [("small", small), ("large", large), ("even", even), ("uneven", uneven)] {
        for codec in UnitCodec::ALL {
            let (_, block) = told(codec, &units);
            let content = [&[(units.len() / 4) as u8], &block[..]].concat();
            std::fs::write(folder.join(format!("{name}-{codec:?}").to_lowercase()), content).unwrap();
        }
    }
}
