//! The same scan as another hospital's software may have written it.

use consilium_domain::Seed;

use crate::{Orientation, Volume};

/// A way of writing a scan anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Export {
    /// Whole numbers, this many to the brightness range.
    Int16(f32),
    /// Another scale and zero of the brain's intensities.
    Affine(f32, f32),
    /// Axes towards right, anterior, superior.
    Ras,
    /// Axes in another order and direction.
    Turned,
    /// More background on some sides, less on others.
    Padded,
    /// Without the lowest so many millimetres of the brain.
    Cut(f32),
    /// Noise of this share of the brain's standard deviation.
    Noisy(f32),
    /// Trilinear, to voxels this many times as large.
    Resampled(f32),
}

impl Export {
    pub(super) fn of(self, volume: &Volume) -> Volume {
        match self {
            Self::Int16(steps) => {
                let (low, high) = range(volume);
                tissue(volume, |value| (value * steps / (high - low)).round())
            }
            Self::Affine(scale, zero) => tissue(volume, |value| scale * value + zero),
            Self::Ras => {
                let [_, height, width] = volume.shape();
                let flipped = gather(volume, volume.shape(), |[z, y, x]| [z, height - 1 - y, width - 1 - x]);
                flipped.with_orientation(Orientation::RAS)
            }
            Self::Turned => {
                // New z, y, x run along old x, z, y; from LPS: x towards P, y towards S, z towards L.
                let [depth, height, width] = volume.shape();
                let turned = gather(volume, [width, depth, height], |[z, y, x]| [y, x, z]);
                turned.with_orientation("PSL".parse().unwrap())
            }
            Self::Padded => {
                let [depth, height, width] = volume.shape();
                let shape = [depth + 5, height + 1, width + 7];
                let mut values = vec![0.0; shape.iter().product()];
                for (row, old) in volume.values().chunks_exact(width).enumerate() {
                    let at = ((row / height + 4) * shape[1] + row % height + 1) * shape[2] + 2;
                    values[at..at + width].copy_from_slice(old);
                }
                rebuilt(volume, shape, volume.spacing(), values)
            }
            Self::Cut(mm) => {
                let slice = volume.shape()[1] * volume.shape()[2];
                let lowest =
                    volume.values().iter().position(|value| *value != 0.0).unwrap_or_default() / slice;
                let gone = (lowest + (mm / volume.spacing()[0]) as usize) * slice;
                let mut values = volume.values().to_vec();
                values[..gone].fill(0.0);
                rebuilt(volume, volume.shape(), volume.spacing(), values)
            }
            Self::Noisy(share) => {
                let sd = deviation(volume);
                let mut stream = Seed::from_number(5).stream();
                tissue(volume, |value| value + share * sd * stream.normal() as f32)
            }
            Self::Resampled(factor) => resampled(volume, factor),
        }
    }
}

/// Changes what is not background.
fn tissue(volume: &Volume, mut change: impl FnMut(f32) -> f32) -> Volume {
    let values = volume.values().iter();
    let values = values.map(|&value| if value == 0.0 { 0.0 } else { change(value) }).collect();
    rebuilt(volume, volume.shape(), volume.spacing(), values)
}

fn gather(volume: &Volume, shape: [usize; 3], from: impl Fn([usize; 3]) -> [usize; 3]) -> Volume {
    let [_, height, width] = volume.shape();
    let mut values = Vec::with_capacity(volume.values().len());
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let [z, y, x] = from([z, y, x]);
                values.push(volume.values()[(z * height + y) * width + x]);
            }
        }
    }
    Volume::new(shape, volume.spacing(), values).expect("as many voxels as before, all of one size")
}

fn rebuilt(volume: &Volume, shape: [usize; 3], spacing: [f32; 3], values: Vec<f32>) -> Volume {
    let rebuilt = Volume::new(shape, spacing, values).expect("a volume");
    match volume.orientation() {
        Some(orientation) => rebuilt.with_orientation(orientation),
        None => rebuilt,
    }
}

fn resampled(volume: &Volume, factor: f32) -> Volume {
    let old = volume.shape();
    let shape = old.map(|n| ((n - 1) as f32 / factor) as usize + 1);
    let at = |[z, y, x]: [usize; 3]| volume.values()[(z * old[1] + y) * old[2] + x];
    let mut values = Vec::new();
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let place = [z, y, x].map(|index| index as f32 * factor);
                let low = place.map(|place| place as usize);
                let mut value = 0.0;
                for corner in 0..8 {
                    let step = [corner >> 2, corner >> 1 & 1, corner & 1];
                    let node = std::array::from_fn(|axis| (low[axis] + step[axis]).min(old[axis] - 1));
                    let share = |axis: usize| {
                        let beyond = place[axis] - low[axis] as f32;
                        if step[axis] == 1 { beyond } else { 1.0 - beyond }
                    };
                    value += share(0) * share(1) * share(2) * at(node);
                }
                values.push(value);
            }
        }
    }
    rebuilt(volume, shape, volume.spacing().map(|mm| mm * factor), values)
}

fn range(volume: &Volume) -> (f32, f32) {
    volume.values().iter().fold((0.0, 0.0), |(low, high): (f32, f32), &v| (low.min(v), high.max(v)))
}

fn deviation(volume: &Volume) -> f32 {
    let brain: Vec<f64> = volume.values().iter().filter(|v| **v != 0.0).map(|&v| f64::from(v)).collect();
    let mean = brain.iter().sum::<f64>() / brain.len() as f64;
    (brain.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / brain.len() as f64).sqrt() as f32
}
