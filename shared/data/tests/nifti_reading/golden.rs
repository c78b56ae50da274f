//! Turning and resampling against nibabel and scipy: `shared/data/golden/volume_golden.py` wrote the numbers.

use std::fs;
use std::path::{Path, PathBuf};

use consilium_data::{Affine, Grid, Interpolation, Orientation, Volume};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Entries of affines, in millimetres.
const AFFINE_TOLERANCE: f64 = 1e-9;

/// A value of scipy, in double precision and written with six decimals, against ours in single precision.
const VALUE_TOLERANCE: f64 = 1e-5;

/// Sums over millions of voxels that are each rounded to single precision.
const SUM_TOLERANCE: f64 = 1e-7;

/// Shapes here are (x, y, z), as nibabel counts.
type Shape = [usize; 3];
type Rows = [[f64; 4]; 3];

#[derive(Deserialize)]
struct SyntheticCase {
    name: String,
    shape: Shape,
    affine: Rows,
    letters: String,
    turned: Vec<Turned>,
    resampled: Vec<Resampled>,
}

#[derive(Deserialize)]
struct Turned {
    letters: String,
    shape: Shape,
    affine: Rows,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Resampled {
    shape: Shape,
    affine: Rows,
    trilinear: Vec<f64>,
    nearest: Vec<f32>,
}

#[derive(Deserialize)]
struct RealCase {
    file: PathBuf,
    affine: Rows,
    letters: String,
    interpolation: String,
    read: Summary,
    canonical: Summary,
    pir: Summary,
    edge: f64,
    cubes: Summary,
    oblique: Summary,
}

#[derive(Deserialize)]
struct Summary {
    shape: Shape,
    affine: Option<Rows>,
    sum: f64,
    squares: f64,
    least: f64,
    most: f64,
    nonzero: usize,
    moments: [f64; 4],
}

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn orientation(letters: &str) -> Orientation {
    letters.parse().unwrap()
}

fn reversed([a, b, c]: [usize; 3]) -> [usize; 3] {
    [c, b, a]
}

/// The formula of the script.
fn synthetic([width, height, depth]: Shape, affine: Rows) -> Volume {
    let mut values = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let value = (7 * x + 13 * y + 29 * z + x * y * (z + 1)) % 97;
                values.push(value as f32 - 20.0);
            }
        }
    }
    let volume = Volume::new([depth, height, width], [1.0; 3], values).unwrap();
    volume.with_affine(Affine::new(affine).unwrap())
}

fn assert_same_affine(volume: &Volume, expected: &Rows, case: &str) {
    let rows = volume.affine().unwrap().rows();
    for (value, expected) in rows.as_flattened().iter().zip(expected.as_flattened()) {
        assert!((value - expected).abs() < AFFINE_TOLERANCE, "{case}: {rows:?} is not {expected:?}");
    }
    let spacing = volume.affine().unwrap().spacing();
    for (ours, affines) in volume.spacing().iter().zip(spacing) {
        assert!((ours - affines).abs() < 1e-6, "{case}: {:?} is not {spacing:?}", volume.spacing());
    }
}

#[test]
fn turned_axes_are_those_of_nibabel() {
    for case in golden::<Vec<SyntheticCase>>("volume_synthetic.json") {
        let volume = synthetic(case.shape, case.affine);
        assert_eq!(volume.orientation(), Some(orientation(&case.letters)), "{}", case.name);
        for turned in case.turned {
            let label = format!("{} to {}", case.name, turned.letters);
            let ours = volume.clone().in_orientation(orientation(&turned.letters)).unwrap();
            assert_eq!(ours.orientation(), Some(orientation(&turned.letters)), "{label}");
            assert_eq!(ours.shape(), reversed(turned.shape), "{label}");
            assert_eq!(ours.values(), turned.values, "{label}");
            assert_same_affine(&ours, &turned.affine, &label);
        }
    }
}

#[test]
fn resampled_values_are_those_of_scipy() {
    for case in golden::<Vec<SyntheticCase>>("volume_synthetic.json") {
        let volume = synthetic(case.shape, case.affine);
        for wanted in case.resampled {
            let grid = Grid::new(reversed(wanted.shape), Affine::new(wanted.affine).unwrap()).unwrap();
            let smooth = volume.resample_onto(&grid, Interpolation::Trilinear).unwrap();
            assert!(smooth.values().iter().filter(|value| **value != 0.0).count() > 20, "{}", case.name);
            for (value, expected) in smooth.values().iter().zip(&wanted.trilinear) {
                assert!((f64::from(*value) - expected).abs() < VALUE_TOLERANCE, "{}", case.name);
            }
            let nearest = volume.resample_onto(&grid, Interpolation::Nearest).unwrap();
            assert_eq!(nearest.values(), wanted.nearest, "{}", case.name);
            assert_eq!(nearest.grid(), Ok(grid));
        }
    }
}

/// Summary numbers of real images; the images themselves are not in the repository.
#[test]
fn real_images_have_the_sums_that_nibabel_and_scipy_give() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2013_cc_by_nc_sa");
    if !folder.is_dir() {
        println!("skipped: ../shared is absent");
        return;
    }
    for case in golden::<Vec<RealCase>>("volume_real.json") {
        let name = case.file.display();
        let volume = Volume::read(&folder.join(&case.file)).unwrap();
        let interpolation = match case.interpolation.as_str() {
            "trilinear" => Interpolation::Trilinear,
            "nearest" => Interpolation::Nearest,
            other => panic!("{other}"),
        };
        assert_eq!(volume.orientation(), Some(orientation(&case.letters)));
        assert_same_affine(&volume, &case.affine, "read");
        case.read.assert_is_of(&volume, &format!("{name}, read"));

        let affine = Affine::new(case.oblique.affine.unwrap()).unwrap();
        let oblique = Grid::new(reversed(case.oblique.shape), affine).unwrap();
        let oblique = volume.resample_onto(&oblique, interpolation).unwrap();
        case.oblique.assert_is_of(&oblique, &format!("{name}, oblique"));

        let pir = volume.clone().in_orientation(orientation("PIR")).unwrap();
        case.pir.assert_is_of(&pir, &format!("{name}, PIR"));
        let canonical = volume.in_orientation(Orientation::RAS).unwrap();
        case.canonical.assert_is_of(&canonical, &format!("{name}, canonical"));

        let cubes = canonical.grid().unwrap().isotropic(case.edge).unwrap();
        let cubes = canonical.resample_onto(&cubes, interpolation).unwrap();
        case.cubes.assert_is_of(&cubes, &format!("{name}, cubes"));
    }
}

impl Summary {
    fn assert_is_of(&self, volume: &Volume, case: &str) {
        assert_eq!(volume.shape(), reversed(self.shape), "{case}");
        if let Some(affine) = &self.affine {
            assert_same_affine(volume, affine, case);
        }
        let [_, height, width] = volume.shape();
        let (mut sums, mut magnitudes) = ([0.0; 6], [0.0; 6]);
        for (i, &value) in volume.values().iter().enumerate() {
            let value = f64::from(value);
            let [x, y, z] = [i % width, i / width % height, i / width / height].map(|n| n as f64);
            let terms = [value, value * value, value * x, value * y, value * z, value * x * y * z];
            for ((sum, magnitude), term) in sums.iter_mut().zip(&mut magnitudes).zip(terms) {
                *sum += term;
                *magnitude += term.abs();
            }
        }
        let [mx, my, mz, mxyz] = self.moments;
        for ((sum, magnitude), expected) in
            sums.iter().zip(magnitudes).zip([self.sum, self.squares, mx, my, mz, mxyz])
        {
            let gap = (sum - expected).abs();
            assert!(gap <= SUM_TOLERANCE * magnitude, "{case}: {sum} is not {expected}");
        }
        let values = || volume.values().iter().copied().map(f64::from);
        assert!((values().fold(f64::INFINITY, f64::min) - self.least).abs() < VALUE_TOLERANCE, "{case}");
        assert!((values().fold(f64::NEG_INFINITY, f64::max) - self.most).abs() < VALUE_TOLERANCE, "{case}");
        assert_eq!(values().filter(|value| *value != 0.0).count(), self.nonzero, "{case}");
    }
}
