//! Reading a histogram that somebody sent: bounded memory, then the checks of construction.

use serde::Deserialize;

use super::{HistogramError, ScoreHistogram};
use consilium_domain::Bounded;

/// A histogram as it was sent.
#[derive(Deserialize)]
pub(super) struct Unchecked {
    positives: Bounded<u32, { ScoreHistogram::MAX_BINS }>,
    negatives: Bounded<u32, { ScoreHistogram::MAX_BINS }>,
}

impl TryFrom<Unchecked> for ScoreHistogram {
    type Error = HistogramError;

    fn try_from(sent: Unchecked) -> Result<Self, Self::Error> {
        Self::from_counts(sent.positives.0, sent.negatives.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    fn from_bincode(bytes: &[u8]) -> Result<ScoreHistogram, bincode::error::DecodeError> {
        bincode::serde::decode_from_slice(bytes, bincode::config::standard()).map(|(histogram, _)| histogram)
    }

    fn to_bincode(value: impl Serialize) -> Vec<u8> {
        bincode::serde::encode_to_vec(value, bincode::config::standard()).unwrap()
    }

    #[test]
    fn hostile_bytes_cannot_make_a_malformed_histogram() {
        let bad = [
            to_bincode((vec![1u32; 4], vec![1u32; 5])),
            to_bincode((vec![1u32; 129], vec![1u32; 129])),
            to_bincode((vec![1u32; 1], vec![1u32; 1])),
            to_bincode((vec![u32::MAX; 128], vec![u32::MAX; 128])),
            // A length of 2^64 - 1 with nothing behind it.
            vec![253, 255, 255, 255, 255, 255, 255, 255, 255],
        ];
        for bytes in bad {
            assert!(from_bincode(&bytes).is_err(), "{bytes:?}");
        }
        let text = r#"{"positives":[1,2],"negatives":[1,2,3]}"#;
        let message = serde_json::from_str::<ScoreHistogram>(text).unwrap_err().to_string();
        assert!(message.contains("2 bins of positives and 3 of negatives"), "{message}");
    }

    proptest! {
        #[test]
        fn both_encodings_round_trip(counts in prop::collection::vec((0u32..1000, 0u32..1000), 2..=128)) {
            let (positives, negatives) = counts.into_iter().unzip();
            let histogram = ScoreHistogram::from_counts(positives, negatives).unwrap();
            prop_assert_eq!(&from_bincode(&to_bincode(&histogram)).unwrap(), &histogram);
            let text = serde_json::to_string(&histogram).unwrap();
            prop_assert_eq!(&serde_json::from_str::<ScoreHistogram>(&text).unwrap(), &histogram);
        }

        #[test]
        fn any_bytes_are_a_sound_histogram_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(histogram) = from_bincode(&bytes) {
                let again = ScoreHistogram::from_counts(histogram.positives, histogram.negatives);
                prop_assert!(again.is_ok());
            }
        }
    }
}
