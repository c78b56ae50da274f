//! The profile `schmitz2024` equals the paper's pipeline in scikit-image; `golden/schmitz2024.py` made the numbers.

use std::path::Path;

use consilium_domain::Preprocessing;
use serde_json::Value;

use crate::{Orientation, Volume, preprocess};

/// Sums over half a million voxels in 32 bits against 64 bits.
const RELATIVE: f64 = 1e-6;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../golden/schmitz2024.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_close(name: &str, found: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= RELATIVE * expected.abs(), "{name}: {found}, not {expected}");
}

/// Compares with what `moments` of the script stored.
fn assert_moments(values: &[f32], golden: &Value) {
    assert_eq!(values.len(), 70 * 86 * 86);
    let voxels =
        || values.iter().enumerate().map(|(i, &value)| ([i / 7396, i / 86 % 86, i % 86], f64::from(value)));
    let nonzero = values.iter().filter(|&&value| value != 0.0).count() as u64;
    assert_eq!(nonzero, golden["nonzero"].as_u64().unwrap());
    assert_close("sum", voxels().map(|(_, v)| v).sum(), &golden["sum"]);
    assert_close("sum of squares", voxels().map(|(_, v)| v * v).sum(), &golden["sum_of_squares"]);
    for axis in 0..3 {
        let moment = |power| voxels().map(|(at, v)| v.powi(power) * at[axis] as f64).sum::<f64>();
        assert_close("moment", moment(1), &golden["moments"][axis]);
        assert_close("squared moment", moment(2), &golden["squared_moments"][axis]);
    }
    let mut octants = [0.0; 8];
    for ([z, y, x], value) in voxels() {
        octants[z / 35 * 4 + y / 43 * 2 + x / 43] += value;
    }
    for (octant, found) in octants.into_iter().enumerate() {
        assert_close("octant", found, &golden["octants"][octant]);
    }
}

/// The script's volume and mask.
fn formula() -> (Volume, Volume) {
    let (mut image, mut mask) = (Vec::new(), Vec::new());
    for z in 0..155i64 {
        for y in 0..240i64 {
            for x in 0..240i64 {
                image.push(((3 * z * z + 7 * y + 5 * x * x + z * y * x) % 2003 - 300) as f32);
                let distance = 4 * (z - 75).pow(2) + 2 * (y - 120).pow(2) + (x - 130).pow(2);
                mask.push(if distance < 16_000 { (1 + (x + y + z) % 4) as f32 } else { 0.0 });
            }
        }
    }
    let volume = |values| Volume::new([155, 240, 240], [1.0; 3], values).unwrap();
    (volume(image), volume(mask))
}

#[test]
fn a_formula_volume_is_scikit_images() {
    let golden = &golden()["formula"];
    let (image, mask) = formula();
    let input = preprocess(&image, &mask, Preprocessing::Schmitz2024).unwrap();
    assert_moments(&input, golden);
    let stride = golden["stride"].as_u64().unwrap() as usize;
    let expected = numbers(&golden["samples"]);
    let found: Vec<f32> = input.into_iter().step_by(stride).collect();
    assert_eq!(found.len(), expected.len());
    assert!(
        expected.iter().filter(|&&value| value != expected[1]).count() > 100,
        "samples inside the tumour"
    );
    for (value, expected) in found.into_iter().zip(expected) {
        assert!((f64::from(value) - expected).abs() < 2e-7, "{value}, not {expected}");
    }
}

#[test]
fn real_gliomas_are_scikit_images() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2013_cc_by_nc_sa");
    if !folder.exists() {
        println!("skipped: ../shared is absent");
        return;
    }
    let golden = golden();
    let cases = golden["real"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let read = |name: &str| {
            let volume = Volume::read(&folder.join(text("patient")).join(format!("{name}.nii.gz"))).unwrap();
            // The script turns files to LPS; these lie so already, so nothing is turned here.
            assert_eq!(volume.orientation(), Some(Orientation::LPS));
            volume
        };
        let (image, mask) = (read(text("image")), read("OTMultiClass"));
        let input = preprocess(&image, &mask, Preprocessing::Schmitz2024).unwrap();
        assert_moments(&input, case);
    }
}
