//! Sound files with bytes changed or the end cut off: never a panic, and memory in proportion to the file.

use consilium_weights::checkpoint::import;
use proptest::prelude::*;

use crate::broken::{legacy_with, tiny};
use crate::writer::formula;
use crate::{SMALL, body};

/// Memory for a file of some kilobytes: the pickle's values, the inflater, the weights of the small network.
const CAP_BYTES: u64 = 1 << 20;

fn sound() -> [Vec<u8>; 6] {
    let whole = formula::model(SMALL);
    [
        whole.legacy(),
        whole.zipped(false),
        whole.zipped(true),
        tiny().legacy(),
        tiny().zipped(false),
        tiny().zipped(true),
    ]
}

fn assert_harmless(bytes: &[u8]) -> Result<(), TestCaseError> {
    let memory = allocation_counter::measure(|| body::check(bytes));
    prop_assert!(memory.bytes_max <= CAP_BYTES, "{} bytes", memory.bytes_max);
    Ok(())
}

#[test]
fn no_file_that_was_cut_short_is_imported() {
    for file in &sound()[..3] {
        assert!(import(file, SMALL).is_ok());
        for length in (0..file.len()).step_by(37).chain(file.len() - 40..file.len()) {
            assert!(import(&file[..length], SMALL).is_err(), "{length} of {} bytes", file.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_mutation_panics_or_takes_memory(
        which in 0..6usize,
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        keep in 0.5..1.5f64,
    ) {
        let mut bytes = sound()[which].clone();
        for (at, byte) in patches {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        assert_harmless(&bytes)?;
    }

    /// Instructions that exist, in any order.
    #[test]
    fn no_pickle_panics_or_takes_memory(
        codes in prop::collection::vec(prop::sample::select(b"\x88\x89JKM\x8aGXTU)t\x85\x86\x87]ae}suqrhjcRbQN(0".to_vec()), 0..200),
        operands in prop::collection::vec(0..6u8, 0..400),
    ) {
        let mut operands = operands.into_iter();
        let mut next = |count: usize| -> Vec<u8> { operands.by_ref().take(count).collect() };
        let mut pickle = vec![0x80, 2];
        for code in codes {
            pickle.push(code);
            match code {
                b'J' | b'X' | b'T' | b'r' | b'j' => pickle.extend(next(1).into_iter().chain([0; 3])),
                b'K' | 0x8a | b'U' | b'q' | b'h' => pickle.extend(next(1)),
                b'M' => pickle.extend(next(2)),
                b'c' => pickle.extend(b"torch\nFloatStorage\n"),
                _ => {}
            }
        }
        pickle.push(b'.');
        assert_harmless(&legacy_with(pickle))?;
    }
}
