//! The weighted sum of the sites' updates, exact and the same in every order of arrival.
//!
//! Memory is 8 bytes a coordinate, however many sites there are: a payload is added and forgotten. Which
//! payloads may be added, and that a site counts once, is not decided here. The coordinator, whose models are large,
//! goes block by block instead ([`crate::mean_units`]); both give the same bits.

use std::fmt;

use crate::protected::round_to_even;
use crate::slab::share;
use crate::{Grid, NotFinite, UpdatePayload, add_units};

/// The running sum of one round of one lane.
///
/// # Why no sum overflows
/// A coordinate is at most [`Grid::MAX_UNITS`] = 2^30 in absolute value and the cases of all added updates
/// are at most [`Accumulator::MAX_TOTAL_CASES`] = 2^32, so a sum is at most 2^62, a quarter of the range of
/// an `i64`.
pub struct Accumulator {
    sums: Vec<i64>,
    grid: Grid,
    cases: u64,
}

/// Why a payload was not added. The sum is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Another network.
    #[error(
        "an update of {found} coordinates cannot be added to a sum of {expected}: parse it for this lane"
    )]
    Coordinates {
        /// Coordinates of the payload.
        found: usize,
        /// Coordinates of the sum.
        expected: usize,
    },
    /// Another study.
    #[error(
        "the update was checked against another fixed point than the sum's: parse it with this study's grid"
    )]
    Grid,
    /// No weight.
    #[error("an update of 0 cases weighs nothing: refuse it where it arrives")]
    NoCases,
    /// More patients than the arithmetic is proven for.
    #[error(
        "with this update the round would count {total} cases, more than {max}: \
         check the sites' claims against their cohorts",
        max = Accumulator::MAX_TOTAL_CASES
    )]
    TooManyCases {
        /// The cases including the refused update's.
        total: u64,
    },
}

/// A sum of nothing has no mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no update was added, so there is no mean: a round below quorum must not be aggregated")]
pub struct NoContributions;

/// Why a sum does not make a next model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was added.
    #[error(transparent)]
    NoContributions(#[from] NoContributions),
    /// Another network.
    #[error(
        "a model of {base} coordinates cannot take an aggregate of {sum}: \
         use the model this round started from"
    )]
    Coordinates {
        /// Coordinates of the model.
        base: usize,
        /// Coordinates of the sum.
        sum: usize,
    },
    /// A broken model.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
}

impl Accumulator {
    /// The most cases one sum may weigh: more people than any consortium has, and the proof above needs a
    /// bound.
    pub const MAX_TOTAL_CASES: u64 = 1 << 32;

    /// An empty sum for a model of `coordinates` coordinates. Reserves 8 bytes for each.
    pub fn new(coordinates: usize, grid: Grid) -> Self {
        Self { sums: vec![0; coordinates], grid, cases: 0 }
    }

    /// Adds `cases` times the update, exactly.
    pub fn add(&mut self, payload: &UpdatePayload<'_>, cases: u32) -> Result<(), AddError> {
        if payload.coordinates() != self.sums.len() {
            let (found, expected) = (payload.coordinates(), self.sums.len());
            return Err(AddError::Coordinates { found, expected });
        }
        if payload.grid() != self.grid {
            return Err(AddError::Grid);
        }
        if cases == 0 {
            return Err(AddError::NoCases);
        }
        let total = self.cases + u64::from(cases);
        if total > Self::MAX_TOTAL_CASES {
            return Err(AddError::TooManyCases { total });
        }
        self.cases = total;
        let weight = i64::from(cases);
        for (sum, units) in self.sums.iter_mut().zip(payload.units()) {
            *sum += weight * i64::from(units);
        }
        Ok(())
    }

    /// The cases of all added updates.
    pub const fn cases(&self) -> u64 {
        self.cases
    }

    /// The weighted mean of the updates in units of the grid, as [`crate::mean_units`] rounds it.
    ///
    /// It differs from the exact weighted mean of the clipped updates by at most one unit of the grid: half of one was
    /// rounded at the sites, and half is here.
    pub fn mean_units(&self) -> Result<Vec<i32>, NoContributions> {
        if self.cases == 0 {
            return Err(NoContributions);
        }
        let share = share(self.cases);
        Ok(self.sums.iter().map(|&sum| round_to_even(sum as f64 * share)).collect())
    }

    /// The next model where nothing is lost on the wire: `base` plus the mean.
    pub fn apply(&self, base: &[f32]) -> Result<Vec<f32>, ApplyError> {
        let units = self.mean_units()?;
        if base.len() != units.len() {
            return Err(ApplyError::Coordinates { base: base.len(), sum: units.len() });
        }
        let mut next = base.to_vec();
        add_units(&units, self.grid, &mut next)?;
        Ok(next)
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accumulator({} coordinates, {} cases)", self.sums.len(), self.cases)
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;

    use super::*;
    use crate::LocalUpdate;

    fn grid(fraction_bits: u8) -> Grid {
        Grid::new(FixedPoint { clip: 1, fraction_bits }).unwrap()
    }

    fn sealed(change: &[f32], cases: u32, grid: Grid) -> Vec<u8> {
        let update = LocalUpdate::between(&vec![0.0; change.len()], change.to_vec(), cases).unwrap();
        update.clip(grid).quantise().seal().into_parts().0
    }

    #[test]
    fn the_mean_is_weighted_by_cases() {
        let grid = grid(8);
        let mut sum = Accumulator::new(2, grid);
        for (change, cases) in [([0.5, -1.0], 1), ([0.25, 0.0], 3)] {
            let bytes = sealed(&change, cases, grid);
            sum.add(&UpdatePayload::parse(&bytes, 2, grid).unwrap(), cases).unwrap();
        }
        assert_eq!(sum.cases(), 4);
        assert_eq!(sum.mean_units(), Ok(vec![80, -64]));
        assert_eq!(sum.apply(&[1.0, 2.0]), Ok(vec![1.3125, 1.75]));
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let grid = grid(8);
        let mut sum = Accumulator::new(1, grid);
        let bytes = sealed(&[0.5], 1, grid);
        let payload = UpdatePayload::parse(&bytes, 1, grid).unwrap();
        sum.add(&payload, 2).unwrap();
        let longer = sealed(&[0.5, 0.5], 1, grid);
        let longer = UpdatePayload::parse(&longer, 2, grid).unwrap();
        assert_eq!(sum.add(&longer, 1), Err(AddError::Coordinates { found: 2, expected: 1 }));
        let other = UpdatePayload::parse(&bytes, 1, self::grid(9)).unwrap();
        assert_eq!(sum.add(&other, 1), Err(AddError::Grid));
        assert_eq!(sum.add(&payload, 0), Err(AddError::NoCases));
        assert_eq!((sum.cases(), sum.mean_units()), (2, Ok(vec![128])));
    }

    #[test]
    fn the_largest_sum_does_not_overflow() {
        let grid = Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).unwrap();
        let bytes = sealed(&[1e30, -1e30], 1, grid);
        let payload = UpdatePayload::parse(&bytes, 2, grid).unwrap();
        let mut sum = Accumulator::new(2, grid);
        sum.add(&payload, u32::MAX).unwrap();
        sum.add(&payload, 1).unwrap();
        assert_eq!(sum.sums, [1 << 62, -(1 << 62)]);
        assert_eq!(sum.mean_units(), Ok(vec![1 << 30, -(1 << 30)]));
        let one_more = Accumulator::MAX_TOTAL_CASES + 1;
        assert_eq!(sum.add(&payload, 1), Err(AddError::TooManyCases { total: one_more }));
        assert_eq!(sum.apply(&[f32::MAX, 0.0]), Ok(vec![f32::MAX, -64.0]));
    }

    #[test]
    fn nothing_and_broken_models_are_refused() {
        let grid = grid(8);
        let mut sum = Accumulator::new(2, grid);
        assert_eq!(sum.mean_units(), Err(NoContributions));
        assert_eq!(sum.apply(&[0.0, 0.0]), Err(ApplyError::NoContributions(NoContributions)));
        let bytes = sealed(&[0.5, 0.5], 1, grid);
        sum.add(&UpdatePayload::parse(&bytes, 2, grid).unwrap(), 1).unwrap();
        assert_eq!(sum.apply(&[0.0]), Err(ApplyError::Coordinates { base: 1, sum: 2 }));
        assert_eq!(sum.apply(&[0.0, f32::NAN]), Err(ApplyError::NotFinite(NotFinite { index: 1 })));
    }
}
