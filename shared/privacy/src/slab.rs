//! The mean of all sites' updates over a few coordinates, added to the model: a sum that is never stored.
//!
//! The result is that of an [`crate::Accumulator`], bit for bit; memory is the caller's blocks.

use crate::accumulate::NoContributions;
use crate::{Accumulator, AddError, ApplyError, Grid};

/// Coordinates summed at a time: so few that the sums stay in registers and next to them, and that the division for
/// some coordinates runs while others are added.
const TILE: usize = 64;

/// Sums up to here are integers that an `f64` holds exactly, and every processor multiplies, adds and divides several of
/// those at once; 64-bit integers it does not. The finest grid reaches it with 8 million cases.
const MOST_IN_F64: u64 = 1 << f64::MANTISSA_DIGITS;

/// One site's units, and how many cases they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Weighted<'u> {
    /// Units that a [`crate::Block`] of the study's grid was decoded to.
    pub units: &'u [i32],
    /// Their weight.
    pub cases: u32,
}

/// Replaces `model` by the next one: each coordinate plus the updates' weighted mean, added in `f64` and rounded once.
///
/// # Errors
/// When the update at the returned place does not fit the sum ([`AddError`]), or the model is broken.
pub fn add_mean(updates: &[Weighted<'_>], grid: Grid, model: &mut [f32]) -> Result<(), MeanError> {
    let mut total = 0;
    for (place, Weighted { units, cases }) in updates.iter().enumerate() {
        debug_assert!(units.iter().all(|unit| unit.unsigned_abs() <= grid.max_units().unsigned_abs()));
        total += u64::from(*cases);
        let refused = if units.len() != model.len() {
            AddError::Coordinates { found: units.len(), expected: model.len() }
        } else if *cases == 0 {
            AddError::NoCases
        } else if total > Accumulator::MAX_TOTAL_CASES {
            AddError::TooManyCases { total }
        } else {
            continue;
        };
        return Err(MeanError::Add { place, source: refused });
    }
    if total == 0 {
        return Err(ApplyError::from(NoContributions).into());
    }
    // All at once, which a processor does many at a time; the first is looked for only when there is one.
    if !model.iter().fold(true, |finite, value| finite & value.is_finite())
        && let Some(index) = model.iter().position(|value| !value.is_finite())
    {
        return Err(ApplyError::NotFinite { index }.into());
    }
    let divisor = total as f64 * f64::from(grid.scale());
    if total * u64::from(grid.max_units().unsigned_abs()) <= MOST_IN_F64 {
        let add = |sum: f64, units: i32, cases: u32| sum + f64::from(cases) * f64::from(units);
        tiles(updates, model, 0.0, add, |sum| sum / divisor);
    } else {
        let add = |sum: i64, units: i32, cases: u32| sum + i64::from(cases) * i64::from(units);
        tiles(updates, model, 0, add, |sum| sum as f64 / divisor);
    }
    Ok(())
}

/// Why there is no mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeanError {
    /// An update does not fit.
    #[error("update {place}: {source}")]
    Add {
        /// Its place among the updates.
        place: usize,
        /// What is wrong.
        source: AddError,
    },
    /// The model does not.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

fn tiles<S: Copy>(
    updates: &[Weighted<'_>],
    model: &mut [f32],
    zero: S,
    add: impl Fn(S, i32, u32) -> S,
    mean: impl Fn(S) -> f64,
) {
    for (number, model) in model.chunks_mut(TILE).enumerate() {
        let first = number * TILE;
        let mut sums = [zero; TILE];
        for Weighted { units, cases } in updates {
            let units = &units[first..first + model.len()];
            sums.iter_mut().zip(units).for_each(|(sum, &units)| *sum = add(*sum, units, *cases));
        }
        for (value, &sum) in model.iter_mut().zip(&sums) {
            *value = (f64::from(*value) + mean(sum)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::{FixedPoint, Seed};
    use proptest::prelude::*;

    use super::*;
    use crate::UpdatePayload;

    fn grid() -> Grid {
        Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).unwrap()
    }

    /// The way over whole payloads.
    fn accumulated(updates: &[(Vec<i32>, u32)], base: &[f32]) -> Result<Vec<f32>, ApplyError> {
        let mut sum = Accumulator::new(base.len(), grid());
        for (units, cases) in updates {
            let bytes = crate::payload::write(units);
            sum.add(&UpdatePayload::parse(&bytes, base.len(), grid()).unwrap(), *cases).unwrap();
        }
        sum.apply(base)
    }

    fn added(updates: &[(Vec<i32>, u32)], base: &[f32]) -> Result<Vec<f32>, MeanError> {
        let mut model = base.to_vec();
        let updates: Vec<_> =
            updates.iter().map(|(units, cases)| Weighted { units, cases: *cases }).collect();
        add_mean(&updates, grid(), &mut model)?;
        Ok(model)
    }

    proptest! {
        #[test]
        fn the_bits_are_those_of_the_accumulator(
            cases in prop::collection::vec(prop_oneof![1u32..500, 1u32..u32::MAX / 8], 1..6),
            coordinates in prop_oneof![0usize..5, 60usize..200],
            bits in 0u32..=30,
            seed: u64,
        ) {
            let mut stream = Seed::from_number(seed).stream();
            let most = f64::from(1 << bits);
            let updates: Vec<(Vec<i32>, u32)> = cases
                .into_iter()
                .map(|cases| ((0..coordinates).map(|_| stream.between(-most, most) as i32).collect(), cases))
                .collect();
            let base: Vec<f32> = (0..coordinates).map(|_| stream.between(-2.0, 2.0) as f32).collect();
            let bits = |model: Vec<f32>| model.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let (slab, whole) = (added(&updates, &base).unwrap(), accumulated(&updates, &base).unwrap());
            prop_assert_eq!(bits(slab), bits(whole));
        }
    }

    #[test]
    fn the_largest_sum_does_not_overflow() {
        let (most, base) = (vec![1 << 30, -(1 << 30)], [0.0, 0.0]);
        let updates = [(most.clone(), u32::MAX), (most.clone(), 1)];
        assert_eq!(added(&updates, &base), Ok(vec![64.0, -64.0]));
        // The last sums in f64, and the first beyond.
        for cases in [1 << 23, (1 << 23) + 1] {
            let updates = [(most.clone(), cases)];
            assert_eq!(added(&updates, &base).unwrap(), accumulated(&updates, &base).unwrap());
        }
        let total = Accumulator::MAX_TOTAL_CASES + 1;
        let refused = added(&[(most.clone(), u32::MAX), (most.clone(), 2)], &base);
        assert_eq!(refused, Err(MeanError::Add { place: 1, source: AddError::TooManyCases { total } }));
    }

    #[test]
    fn nothing_misfits_and_broken_models_are_refused() {
        let nothing = MeanError::Apply(ApplyError::NoContributions(NoContributions));
        assert_eq!(added(&[], &[0.0]), Err(nothing));
        let misfit = AddError::Coordinates { found: 1, expected: 2 };
        let refused = added(&[(vec![1, 2], 1), (vec![1], 1)], &[0.0; 2]);
        assert_eq!(refused, Err(MeanError::Add { place: 1, source: misfit }));
        let refused = added(&[(vec![1, 2], 0)], &[0.0; 2]);
        assert_eq!(refused, Err(MeanError::Add { place: 0, source: AddError::NoCases }));
        let refused = added(&[(vec![1, 2], 1)], &[0.0, f32::INFINITY]);
        assert_eq!(refused, Err(MeanError::Apply(ApplyError::NotFinite { index: 1 })));
    }
}
