//! What training changed at one site. It stays there.

use std::fmt;

/// The change of every coordinate in one site's training of one round: a patient's trace, unprotected.
///
/// It cannot be serialised, and its `Debug` shows no value. The next step is [`LocalUpdate::clip`].
///
/// ```compile_fail
/// fn leaves<T: serde::Serialize>() {}
/// leaves::<consilium_privacy::LocalUpdate>();
/// ```
///
/// (What may leave does compile.)
///
/// ```
/// fn leaves<T: serde::Serialize>() {}
/// leaves::<consilium_privacy::UpdateSummary>();
/// ```
pub struct LocalUpdate {
    change: Vec<f32>,
    cases: u32,
}

/// Why two models make no update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// They are not the same model.
    #[error(
        "the model had {before} coordinates before training and {after} after: flatten both by one manifest"
    )]
    Lengths {
        /// Coordinates before training.
        before: usize,
        /// Coordinates after training.
        after: usize,
    },
    /// Training diverged, or started from a broken model.
    #[error(
        "coordinate {index} is not finite after training (or its change is not): \
         lower the learning rate or check the inputs"
    )]
    NotFinite {
        /// The first such coordinate.
        index: usize,
    },
    /// Nobody was trained on.
    #[error("an update of 0 cases weighs nothing: do not send one for a round without training cases")]
    NoCases,
}

impl LocalUpdate {
    /// `after - before`, each difference rounded once to `f32`, as trained on `cases` patients. It takes the place of
    /// `after`: a site has no second copy of a large model.
    pub fn between(before: &[f32], after: Vec<f32>, cases: u32) -> Result<Self, UpdateError> {
        if before.len() != after.len() {
            return Err(UpdateError::Lengths { before: before.len(), after: after.len() });
        }
        if cases == 0 {
            return Err(UpdateError::NoCases);
        }
        let (mut change, mut finite) = (after, true);
        for (value, before) in change.iter_mut().zip(before) {
            *value -= before;
            // A value that is not finite on either side makes a difference that is not: NaN and infinity persist.
            finite &= value.is_finite();
        }
        // The first is looked for only when there is one: all at once is what a processor does many at a time.
        match change.iter().position(|change| !finite && !change.is_finite()) {
            Some(index) => Err(UpdateError::NotFinite { index }),
            None => Ok(Self { change, cases }),
        }
    }

    /// Number of coordinates.
    pub fn coordinates(&self) -> usize {
        self.change.len()
    }

    pub(crate) fn into_parts(self) -> (Vec<f32>, u32) {
        (self.change, self.cases)
    }
}

impl fmt::Debug for LocalUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalUpdate({} coordinates)", self.change.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_is_after_minus_before() {
        let (change, cases) = LocalUpdate::between(&[1.0, 2.0], vec![1.5, -2.0], 7).unwrap().into_parts();
        assert_eq!((change, cases), (vec![0.5, -4.0], 7));
    }

    #[test]
    fn what_is_not_finite_is_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let sound = [0.0, 0.0, 0.0];
            let broken = [0.0, bad, bad];
            for (before, after) in [(sound, broken), (broken, sound), (broken, broken)] {
                let refusal = LocalUpdate::between(&before, after.to_vec(), 1).unwrap_err();
                assert_eq!(refusal, UpdateError::NotFinite { index: 1 });
            }
        }
        let overflow = LocalUpdate::between(&[f32::MIN], vec![f32::MAX], 1);
        assert_eq!(overflow.unwrap_err(), UpdateError::NotFinite { index: 0 });
    }

    #[test]
    fn models_of_other_lengths_and_nobody_are_refused() {
        let lengths = LocalUpdate::between(&[0.0], vec![0.0, 0.0], 1).unwrap_err();
        assert_eq!(lengths, UpdateError::Lengths { before: 1, after: 2 });
        assert_eq!(LocalUpdate::between(&[0.0], vec![0.0], 0).unwrap_err(), UpdateError::NoCases);
    }

    #[test]
    fn debug_shows_no_value() {
        let update = LocalUpdate::between(&[0.0], vec![0.123], 1).unwrap();
        assert_eq!(format!("{update:?}"), "LocalUpdate(1 coordinates)");
    }
}
