//! Contrast, brightness and noise of the voxels that are not background.
//!
//! Background is what is exactly 0; it stays exactly 0, because a scan is 0 outside the brain whatever the
//! scanner did. Nothing is clipped: a network has no use for the ends of a range.

use consilium_domain::RandomStream;

/// The standard deviation of the voxels that are not 0; 0 where there are none.
pub(super) fn spread(values: &[f32]) -> f64 {
    let (mut count, mut sum, mut squares) = (0u64, 0.0, 0.0);
    for value in values.iter().filter(|&&value| value != 0.0).map(|&value| f64::from(value)) {
        count += 1;
        sum += value;
        squares += value * value;
    }
    if count == 0 {
        return 0.0;
    }
    let mean = sum / count as f64;
    (squares / count as f64 - mean * mean).max(0.0).sqrt()
}

/// Multiplies by `factor` and adds `shift`.
pub(super) fn rescale(values: &mut [f32], factor: f32, shift: f32) {
    for value in values.iter_mut().filter(|value| **value != 0.0) {
        *value = *value * factor + shift;
    }
}

/// Adds Gaussian noise of standard deviation `deviation`.
pub(super) fn add_noise(values: &mut [f32], deviation: f32, stream: &mut RandomStream) {
    for value in values.iter_mut().filter(|value| **value != 0.0) {
        *value += deviation * roughly_normal(stream.next_u64());
    }
}

/// Nearly standard normal, from 64 uniform bits: the centred sum of eight bytes (Irwin-Hall), bounded by 4.9 in
/// absolute value. An eighth of the random bits of [`RandomStream::normal`], which would take most of the time
/// of an augmentation.
fn roughly_normal(bits: u64) -> f32 {
    /// 8 · 255 / 2.
    const MEAN: f32 = 1020.0;
    /// √(8 · (256² - 1) / 12).
    const DEVIATION: f32 = 209.021_53;
    let sum: u16 = bits.to_le_bytes().into_iter().map(u16::from).sum();
    (f32::from(sum) - MEAN) / DEVIATION
}

#[cfg(test)]
mod tests {
    use consilium_domain::Seed;

    use super::*;

    #[test]
    fn the_noise_has_the_moments_of_a_normal() {
        let mut stream = Seed::from_number(4).stream();
        let draws: Vec<f64> = (0..200_000).map(|_| f64::from(roughly_normal(stream.next_u64()))).collect();
        let moment = |power| draws.iter().map(|x| x.powi(power)).sum::<f64>() / draws.len() as f64;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.01 && moment(3).abs() < 0.03);
        // A normal's is 3, that of eight summed uniforms 2.85.
        assert!((moment(4) - 2.85).abs() < 0.06, "{}", moment(4));
        let tail = draws.iter().filter(|x| x.abs() > 1.96).count() as f64 / draws.len() as f64;
        assert!((tail - 0.05).abs() < 0.005, "{tail}");
    }

    #[test]
    fn background_counts_for_nothing_and_stays() {
        assert_eq!(spread(&[0.0, 1.0, 0.0, 5.0, -0.0]), 2.0);
        assert_eq!((spread(&[0.0; 3]), spread(&[7.0, 0.0])), (0.0, 0.0));
        let mut values = [0.0, 1.0, -2.0];
        rescale(&mut values, 2.0, 0.5);
        assert_eq!(values, [0.0, 2.5, -3.5]);
        add_noise(&mut values, 1.0, &mut Seed::from_number(1).stream());
        assert!(values[0] == 0.0 && values[1] != 2.5 && values[2] != -3.5);
    }
}
