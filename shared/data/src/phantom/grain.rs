//! Random fields in space: a value for every place, without storing any.
//!
//! Values come from an integer hash of the place, keyed by a number from the case's seed stream: a voxel's
//! value does not depend on the order in which voxels are visited.

use consilium_domain::Seed;

/// Independent, approximately standard normal values on the integer lattice.
#[derive(Debug, Clone, Copy)]
pub(super) struct WhiteNoise(u64);

impl WhiteNoise {
    pub(super) fn new(seed: &Seed) -> Self {
        Self(seed.stream().next_u64())
    }

    /// The value at lattice point (z, y, x): the centred sum of four uniforms of 16 bits, scaled to unit
    /// variance.
    pub(super) fn at(self, [z, y, x]: [i32; 3]) -> f32 {
        const SCALE: f32 = 1.732_050_8 / 65_536.0; // sqrt(12 / 4), in units of 2^-16
        let place = u64::from(z as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ u64::from(y as u32).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ u64::from(x as u32).wrapping_mul(0x1656_67b1_9e37_79f9);
        let bits = mix(self.0 ^ place);
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f32 - 131_070.0) * SCALE
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A continuous field of about unit variance whose blobs are about `grain_mm` wide: value noise.
#[derive(Debug, Clone, Copy)]
pub(super) struct SmoothNoise {
    lattice: WhiteNoise,
    per_mm: f32,
}

/// Interpolation averages neighbours; this restores unit variance (for the smooth step's mean of w^2 +
/// (1-w)^2, 26/35, on three axes).
const UNIT_VARIANCE: f32 = 1.562;

impl SmoothNoise {
    pub(super) fn new(seed: &Seed, grain_mm: f32) -> Self {
        Self { lattice: WhiteNoise::new(seed), per_mm: 1.0 / grain_mm }
    }

    /// The value at a place in millimetres.
    pub(super) fn at(&self, place: [f32; 3]) -> f32 {
        let scaled = place.map(|mm| mm * self.per_mm);
        let corner = scaled.map(|v| v.floor() as i32);
        let [wz, wy, wx] = std::array::from_fn(|axis| {
            let t = scaled[axis] - corner[axis] as f32;
            t * t * (3.0 - 2.0 * t)
        });
        let [z, y, x] = corner;
        let along_x = |z, y| mix_between(self.lattice.at([z, y, x]), self.lattice.at([z, y, x + 1]), wx);
        let along_y = |z| mix_between(along_x(z, y), along_x(z, y + 1), wy);
        UNIT_VARIANCE * mix_between(along_y(z), along_y(z + 1), wz)
    }
}

fn mix_between(a: f32, b: f32, weight: f32) -> f32 {
    a + (b - a) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: impl Iterator<Item = f32>) -> (f32, f32) {
        let values: Vec<f32> = values.collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32)
    }

    fn cube(side: i32) -> impl Iterator<Item = [i32; 3]> {
        (0..side.pow(3)).map(move |i| [i / side / side - side / 2, i / side % side, i % side])
    }

    #[test]
    fn both_fields_have_zero_mean_and_unit_variance() {
        let white = WhiteNoise::new(&Seed::from_number(1));
        let (mean, variance) = moments(cube(40).map(|at| white.at(at)));
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let smooth = SmoothNoise::new(&Seed::from_number(2), 3.7);
        let (mean, variance) = moments(cube(60).map(|at| smooth.at(at.map(|v| v as f32))));
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
    }

    #[test]
    fn neighbours_are_independent_in_white_noise_and_alike_in_smooth_noise() {
        let correlation = |at: &dyn Fn([i32; 3]) -> f32| {
            cube(30).map(|[z, y, x]| at([z, y, x]) * at([z, y, x + 1])).sum::<f32>() / 27_000.0
        };
        let white = WhiteNoise::new(&Seed::from_number(3));
        assert!(correlation(&|at| white.at(at)).abs() < 0.03);
        let smooth = SmoothNoise::new(&Seed::from_number(3), 8.0);
        assert!(correlation(&|at| smooth.at(at.map(|v| v as f32))) > 0.8);
    }
}
