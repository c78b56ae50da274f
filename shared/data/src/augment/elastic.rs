//! A smooth random displacement of every voxel (Simard, Steinkraus and Platt 2003,
//! doi:10.1109/ICDAR.2003.1227801): uniform noise, smoothed by a Gaussian of standard deviation σ.
//!
//! The noise lies on a lattice of spacing σ, not on every voxel, and the Gaussian is evaluated from there:
//!
//! ```text
//! u(p) = amplitude · √3 · Σ_k n_k Π_axes w(p - kσ),   w(d) ∝ e^(-d²/2σ²) cut at 4σ,   n_k uniform in [-1, 1)
//! ```
//!
//! Nothing is lost by the coarse lattice. The covariance of u at a distance d is Σ_k w(kσ) w(d + kσ), and by
//! Poisson's summation formula a sum of Gaussians of standard deviation σ/√2 in steps of σ is constant to within
//! 2e^(-π²) = 1e-4: the covariance is that of noise on infinitely many points, e^(-d²/4σ²). For each voxel the
//! weights are scaled to Σ w² = 1, so that the amplitude is exactly the root mean square of each component. The
//! Gaussian is separable: an axis at a time, x last, at eight or nine terms each.

use consilium_domain::{Elastic, RandomStream};

use super::series::exp_minus;

/// Where the Gaussian is cut, in σ: it has fallen to e^-8 = 3e-4.
const REACH: usize = 4;

/// The standard deviation of a uniform number in [-1, 1) is 1/√3.
const UNIFORM_TO_UNIT: f64 = 1.732_050_807_568_877_2;

/// The displacement of every voxel along z, y and x, in voxels: computed row by row, never stored.
pub(super) struct ElasticField {
    /// For each z, y and x, the lattice points that move it.
    along: [Vec<Taps>; 2],
    along_x: Vec<Spread>,
    /// Noise by lattice z, component, lattice y, lattice x.
    lattice: Vec<f32>,
    /// The lattice summed over z for the plane computed last, by component, lattice y, lattice x.
    plane: Vec<f32>,
    plane_z: Option<usize>,
    /// The plane summed over y, one component.
    line: Vec<f32>,
}

/// The displacements along z, y and x of a row of voxels.
pub(super) struct FieldRow(pub(super) [Vec<f32>; 3]);

impl FieldRow {
    /// A row that stays where it is.
    pub(super) fn still(width: usize) -> Self {
        Self(std::array::from_fn(|_| vec![0.0; width]))
    }
}

impl ElasticField {
    /// A random field for an array of `shape` (z, y, x).
    pub(super) fn draw(elastic: Elastic, shape: [usize; 3], stream: &mut RandomStream) -> Self {
        let scale = elastic.amplitude * UNIFORM_TO_UNIT;
        Self::from_lattice(elastic.sigma, shape, |_| (scale * stream.between(-1.0, 1.0)) as f32)
    }

    /// The field of a lattice whose values are `noise` of (lattice z, component, lattice y, lattice x).
    fn from_lattice(sigma: f64, shape: [usize; 3], mut noise: impl FnMut([usize; 4]) -> f32) -> Self {
        let [depth, height, width] = shape.map(|length| lattice_points(length, sigma));
        let mut lattice = Vec::with_capacity(depth * 3 * height * width);
        for z in 0..depth {
            for component in 0..3 {
                for y in 0..height {
                    lattice.extend((0..width).map(|x| noise([z, component, y, x])));
                }
            }
        }
        let taps = shape.map(|length| taps(length, sigma));
        let along_x = spread(&taps[2], width);
        let [along_z, along_y, _] = taps;
        let plane = vec![0.0; 3 * height * width];
        Self { along: [along_z, along_y], along_x, lattice, plane, plane_z: None, line: vec![0.0; width] }
    }

    /// Computes the displacements of row (`z`, `y`). Cheap where `z` is that of the row before.
    pub(super) fn row(&mut self, z: usize, y: usize, row: &mut FieldRow) {
        if self.plane_z.replace(z) != Some(z) {
            self.along[0][z].sum(&self.lattice, &mut self.plane);
        }
        let component_size = self.plane.len() / 3;
        for (component, displacements) in self.plane.chunks_exact(component_size).zip(&mut row.0) {
            self.along[1][y].sum(component, &mut self.line);
            displacements.fill(0.0);
            for (spread, &value) in self.along_x.iter().zip(&self.line) {
                add_scaled(&mut displacements[spread.first..], &spread.weights, value);
            }
        }
    }
}

/// The lattice points that move one voxel.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    /// The weighted sum of rows of `source`, each of `target`'s length.
    fn sum(&self, source: &[f32], target: &mut [f32]) {
        target.fill(0.0);
        let size = target.len();
        for (&weight, row) in self.weights.iter().zip(source[self.first * size..].chunks_exact(size)) {
            add_scaled(target, row, weight);
        }
    }
}

/// The voxels that one lattice point moves: [`Taps`] seen from the other side, for sums along rows.
struct Spread {
    first: usize,
    weights: Vec<f32>,
}

fn add_scaled(target: &mut [f32], source: &[f32], factor: f32) {
    target.iter_mut().zip(source).for_each(|(sum, value)| *sum += factor * value);
}

/// Lattice point k lies at (k - REACH)·σ; the last one is at most 4σ behind the last of `length` voxels.
fn lattice_points(length: usize, sigma: f64) -> usize {
    ((length - 1) as f64 / sigma).floor() as usize + 2 * REACH + 1
}

fn taps(length: usize, sigma: f64) -> Vec<Taps> {
    (0..length)
        .map(|voxel| {
            // In units of σ, from the first lattice point.
            let place = voxel as f64 / sigma + REACH as f64;
            let first = place.ceil() as usize - REACH;
            let last = place.floor() as usize + REACH;
            let weights: Vec<f64> =
                (first..=last).map(|point| exp_minus((place - point as f64).powi(2) / 2.0)).collect();
            let length = weights.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
            Taps { first, weights: weights.iter().map(|weight| (weight / length) as f32).collect() }
        })
        .collect()
}

fn spread(taps: &[Taps], points: usize) -> Vec<Spread> {
    (0..points)
        .map(|point| {
            let weight =
                |taps: &Taps| point.checked_sub(taps.first).and_then(|i| taps.weights.get(i).copied());
            // The voxels within reach of a point follow each other.
            let first = taps.iter().position(|taps| weight(taps).is_some()).unwrap_or(0);
            Spread { first, weights: taps[first..].iter().map_while(weight).collect() }
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use consilium_domain::Seed;
    use proptest::prelude::*;

    use super::*;

    /// Every displacement, by component, in (z, y, x) order.
    pub(in crate::augment) fn whole(field: &mut ElasticField, shape: [usize; 3]) -> [Vec<f32>; 3] {
        let mut all: [Vec<f32>; 3] = Default::default();
        let mut row = FieldRow::still(shape[2]);
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                field.row(z, y, &mut row);
                all.iter_mut().zip(&row.0).for_each(|(all, row)| all.extend(row));
            }
        }
        all
    }

    /// The field of a lattice of whole spacing, whose values are `noise` of (component, lattice z, y, x).
    pub(in crate::augment) fn of_formula(
        sigma: usize,
        shape: [usize; 3],
        noise: impl Fn(usize, [usize; 3]) -> f32,
    ) -> ElasticField {
        ElasticField::from_lattice(sigma as f64, shape, |[z, component, y, x]| noise(component, [z, y, x]))
    }

    #[test]
    fn amplitude_and_smoothness_are_as_stated() {
        let (shape, elastic) = ([40, 40, 40], Elastic { sigma: 3.0, amplitude: 1.5 });
        let (mut square, mut correlated, mut crossed, mut count) = (0.0, [0.0; 3], 0.0, 0.0);
        for sample in 0..12 {
            let mut stream = Seed::from_number(sample).stream();
            let field = whole(&mut ElasticField::draw(elastic, shape, &mut stream), shape);
            for component in &field {
                for z in 0..shape[0] - 9 {
                    for at in (0..shape[1] * shape[2]).map(|i| z * shape[1] * shape[2] + i) {
                        let value = f64::from(component[at]);
                        square += value * value;
                        for (sum, lag) in correlated.iter_mut().zip([3, 6, 9]) {
                            *sum += value * f64::from(component[at + lag * shape[1] * shape[2]]);
                        }
                        count += 1.0;
                    }
                }
            }
            crossed += field[0].iter().zip(&field[2]).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        }
        let variance = square / count;
        assert!((variance.sqrt() - 1.5).abs() < 0.05, "root mean square {}", variance.sqrt());
        for (sum, lag) in correlated.iter().zip([1.0f64, 2.0, 3.0]) {
            let (correlation, stated) = (sum / square, (-lag * lag / 4.0).exp());
            assert!((correlation - stated).abs() < 0.04, "at {lag} sigma {correlation}, not {stated}");
        }
        assert!(crossed.abs() / square < 0.05, "the components are independent");
    }

    proptest! {
        #[test]
        fn every_voxel_has_the_same_variance_and_the_lattice_reaches_it(length in 1usize..100, sigma in 2.0f64..64.0) {
            let taps = taps(length, sigma);
            let points = lattice_points(length, sigma);
            for tap in &taps {
                prop_assert!(tap.first + tap.weights.len() <= points);
                prop_assert!((tap.weights.iter().map(|w| w * w).sum::<f32>() - 1.0).abs() < 1e-5);
            }
            let spread = spread(&taps, points);
            let both = [taps.iter().map(|t| t.weights.len()).sum::<usize>(), spread.iter().map(|s| s.weights.len()).sum()];
            prop_assert_eq!(both[0], both[1], "the two views hold the same weights");
        }

        #[test]
        fn the_coarse_lattice_cannot_be_seen_in_the_covariance(place in 0.0f64..1.0, lag in 0.0f64..3.0) {
            // The product of two Gaussians summed over the lattice, against its mean over all places.
            let kernel = |t: f64| (-t * t / 2.0).exp();
            let sum: f64 = (-12..=12).map(|k| f64::from(k) - place).map(|t| kernel(t) * kernel(t + lag)).sum();
            let stated = std::f64::consts::PI.sqrt() * (-lag * lag / 4.0).exp();
            prop_assert!((sum / stated - 1.0).abs() < 1.1e-4, "{} {}", sum, stated);
        }
    }
}
