//! Rotation and smoothed noise equal SciPy's; `golden/augment.py` made the numbers.

use serde_json::Value;

use super::elastic::tests::{of_formula, whole};
use super::rotation::Rotation;
use super::warp::warp;

/// SciPy works in 64 bits and positions here are rounded to 2^-16 of a voxel, where the formula changes by up to
/// 100 from one voxel to the next.
const TOLERANCE: f64 = 3e-3;

/// What a lattice of spacing sigma may deviate from smoothing voxel by voxel, of values about 1.
const FIELD_TOLERANCE: f64 = 5e-4;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../golden/augment.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn shape(golden: &Value) -> [usize; 3] {
    std::array::from_fn(|axis| golden["shape"][axis].as_u64().unwrap() as usize)
}

fn image([depth, height, width]: [usize; 3]) -> Vec<f32> {
    let index = (0..depth * height * width).map(|i| (i / (height * width), i / width % height, i % width));
    index.map(|(z, y, x)| ((7 * z + 13 * y + 29 * x + z * y * x) % 101) as f32).collect()
}

fn rotation(golden: &Value) -> Rotation {
    let axis = std::array::from_fn(|i| golden["axis"][i].as_f64().unwrap());
    Rotation::about(axis, golden["degrees"].as_f64().unwrap())
}

fn assert_samples(values: &[f32], samples: &Value, golden: &Value, tolerance: f64) {
    let stride = golden["stride"].as_u64().unwrap() as usize;
    let expected = numbers(samples);
    assert!(expected.len() > 100);
    assert_eq!(values.iter().step_by(stride).count(), expected.len());
    for (at, (value, expected)) in values.iter().step_by(stride).zip(expected).enumerate() {
        let error = (f64::from(*value) - expected).abs();
        assert!(error < tolerance, "sample {at}: {value}, not {expected}");
    }
}

/// The field of the script's lattice.
fn field(golden: &Value) -> super::elastic::ElasticField {
    let sigma = golden["sigma"].as_u64().unwrap() as usize;
    of_formula(sigma, shape(golden), |k, [z, y, x]| {
        let noise = (37 * k + 11 * z + 17 * y + 23 * x + z * y * x + k * x * y) % 19;
        (noise as f32 - 9.0) / 9.0
    })
}

#[test]
fn the_matrix_is_scipys() {
    let golden = golden();
    let rotation = rotation(&golden);
    for column in 0..3 {
        let unit = std::array::from_fn(|axis| f64::from(u8::from(axis == column)));
        for (row, value) in rotation.turn(unit).into_iter().enumerate() {
            assert!((value - golden["rotation"][row][column].as_f64().unwrap()).abs() < 1e-14);
        }
    }
}

#[test]
fn a_turned_image_is_scipys() {
    let golden = golden();
    let mut values = image(shape(&golden));
    warp(&mut values, shape(&golden), &rotation(&golden), None);
    assert_samples(&values, &golden["turned"], &golden, TOLERANCE);
}

#[test]
fn noise_on_a_coarse_lattice_is_as_smooth_as_scipys_on_every_voxel() {
    let golden = golden();
    for (component, expected) in whole(&mut field(&golden), shape(&golden)).iter().zip(0..) {
        assert_samples(component, &golden["field"][expected as usize], &golden, FIELD_TOLERANCE);
    }
}

#[test]
fn turned_and_deformed_at_once_is_scipys_single_interpolation() {
    let golden = golden();
    let mut values = image(shape(&golden));
    warp(&mut values, shape(&golden), &rotation(&golden), Some(&mut field(&golden)));
    // Displacements differ by FIELD_TOLERANCE, the formula by up to 100 a voxel along three axes.
    assert_samples(&values, &golden["warped"], &golden, 300.0 * FIELD_TOLERANCE);
}
