//! The mean of all sites' updates over a few coordinates: a sum that is never stored.
//!
//! The result is that of an [`crate::Accumulator`], bit for bit; memory is the caller's blocks.

use crate::accumulate::NoContributions;
use crate::protected::round_to_even;
use crate::{Accumulator, AddError, Grid};

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

/// The updates' weighted mean in `units` of the grid, one for each coordinate: the integer nearest to the exact sum times
/// the reciprocal of all cases, halves to even. A product is several times as fast as a quotient, and off by 2^-52 of
/// it at most.
///
/// # Errors
/// When the update at the returned place does not fit the sum ([`AddError`]), or there is none.
pub fn mean_units(updates: &[Weighted<'_>], grid: Grid, units: &mut [i32]) -> Result<(), MeanError> {
    let mut total = 0;
    for (place, Weighted { units: update, cases }) in updates.iter().enumerate() {
        debug_assert!(update.iter().all(|unit| unit.unsigned_abs() <= grid.max_units().unsigned_abs()));
        total += u64::from(*cases);
        let refused = if update.len() != units.len() {
            AddError::Coordinates { found: update.len(), expected: units.len() }
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
        return Err(NoContributions.into());
    }
    let share = share(total);
    if total * u64::from(grid.max_units().unsigned_abs()) <= MOST_IN_F64 {
        let add = |sum: f64, units: i32, cases: u32| sum + f64::from(cases) * f64::from(units);
        tiles(updates, units, 0.0, add, |sum| sum * share);
    } else {
        let add = |sum: i64, units: i32, cases: u32| sum + i64::from(cases) * i64::from(units);
        tiles(updates, units, 0, add, |sum| sum as f64 * share);
    }
    Ok(())
}

/// What one of `cases` cases weighs.
pub(crate) fn share(cases: u64) -> f64 {
    1.0 / cases as f64
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
    /// There is none.
    #[error(transparent)]
    NoContributions(#[from] NoContributions),
}

fn tiles<S: Copy>(
    updates: &[Weighted<'_>],
    mean_units: &mut [i32],
    zero: S,
    add: impl Fn(S, i32, u32) -> S,
    mean: impl Fn(S) -> f64,
) {
    for (number, means) in mean_units.chunks_mut(TILE).enumerate() {
        let first = number * TILE;
        let mut sums = [zero; TILE];
        for Weighted { units, cases } in updates {
            let units = &units[first..first + means.len()];
            sums.iter_mut().zip(units).for_each(|(sum, &units)| *sum = add(*sum, units, *cases));
        }
        for (unit, &sum) in means.iter_mut().zip(&sums) {
            *unit = round_to_even(mean(sum));
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
    fn accumulated(updates: &[(Vec<i32>, u32)], coordinates: usize) -> Vec<i32> {
        let mut sum = Accumulator::new(coordinates, grid());
        for (units, cases) in updates {
            let bytes = crate::payload::write(units);
            sum.add(&UpdatePayload::parse(&bytes, coordinates, grid()).unwrap(), *cases).unwrap();
        }
        sum.mean_units().unwrap()
    }

    fn mean(updates: &[(Vec<i32>, u32)], coordinates: usize) -> Result<Vec<i32>, MeanError> {
        let mut mean = vec![0; coordinates];
        let updates: Vec<_> =
            updates.iter().map(|(units, cases)| Weighted { units, cases: *cases }).collect();
        mean_units(&updates, grid(), &mut mean)?;
        Ok(mean)
    }

    proptest! {
        #[test]
        fn the_mean_is_that_of_the_accumulator(
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
            prop_assert_eq!(mean(&updates, coordinates).unwrap(), accumulated(&updates, coordinates));
        }
    }

    #[test]
    fn the_largest_sum_does_not_overflow() {
        let most = vec![1 << 30, -(1 << 30)];
        let updates = [(most.clone(), u32::MAX), (most.clone(), 1)];
        assert_eq!(mean(&updates, 2).unwrap(), most);
        // The last sums in f64, and the first beyond.
        for cases in [1 << 23, (1 << 23) + 1] {
            let updates = [(most.clone(), cases)];
            assert_eq!(mean(&updates, 2).unwrap(), accumulated(&updates, 2));
        }
        let total = Accumulator::MAX_TOTAL_CASES + 1;
        let refused = mean(&[(most.clone(), u32::MAX), (most.clone(), 2)], 2);
        assert_eq!(refused, Err(MeanError::Add { place: 1, source: AddError::TooManyCases { total } }));
    }

    #[test]
    fn halves_go_to_the_even_unit() {
        assert_eq!(mean(&[(vec![1, 3, -1], 1), (vec![0; 3], 1)], 3).unwrap(), [0, 2, 0]);
    }

    #[test]
    fn nothing_and_misfits_are_refused() {
        assert_eq!(mean(&[], 1), Err(MeanError::NoContributions(NoContributions)));
        let misfit = AddError::Coordinates { found: 1, expected: 2 };
        let refused = mean(&[(vec![1, 2], 1), (vec![1], 1)], 2);
        assert_eq!(refused, Err(MeanError::Add { place: 1, source: misfit }));
        let refused = mean(&[(vec![1, 2], 0)], 2);
        assert_eq!(refused, Err(MeanError::Add { place: 0, source: AddError::NoCases }));
    }
}
