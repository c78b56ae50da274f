//! The numbers that stand for names inside messages.

use consilium_domain::{Arm, Modality};
use consilium_transport::frame::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `names` have the numbers 0, 1, 2, ..., and the number after the last means nothing.
fn numbered<N: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(names: &[N]) {
    for (number, name) in (0u32..).zip(names) {
        assert_eq!(encode(name).unwrap(), number.to_le_bytes(), "{name:?}");
        assert_eq!(decode::<N>(&number.to_le_bytes()).unwrap(), *name);
    }
    let after = u32::try_from(names.len()).unwrap();
    assert!(decode::<N>(&after.to_le_bytes()).is_err());
}

#[test]
fn arms_and_modalities_have_these_numbers() {
    numbered(&[Arm::Spottune, Arm::Medicalnet, Arm::Random]);
    use Modality::{DscApRcbv, DscPh, DscPsr, DtiAd, DtiFa, DtiRd, DtiTr, Flair, T1, T1gd, T2};
    numbered(&[T1, T1gd, T2, Flair, DtiAd, DtiFa, DtiRd, DtiTr, DscApRcbv, DscPh, DscPsr]);
}
