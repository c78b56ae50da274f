//! How the learning rates fall while a lane trains.
//!
//! The coordinator counts reductions (a pure function of the validated rounds) and every work order names their
//! number, so that all sites of a round train at the same rates.

use serde::{Deserialize, Serialize};

use super::Training;
use super::check::Problems;

/// How the learning rates of a lane change from round to round.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// They do not.
    #[default]
    Constant,
    /// They fall when the validation loss no longer does.
    Plateau(Plateau),
}

/// Both learning rates are multiplied by `factor` after more than `patience` rounds in a row without a better loss.
///
/// The loss is the mean cross-entropy over the patients of the lane's validation fold, pooled over sites. This is
/// PyTorch's `ReduceLROnPlateau` (`mode="min"`, `threshold=1e-4` relative, `cooldown=0`, `min_lr=0`) with a round
/// where that counts an epoch, but for its `eps`: no reduction is too small to be made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// What the rates are multiplied by, in (0, 1).
    pub factor: f64,
    /// Rounds in a row without a better loss that are still borne, 0 to 10000.
    pub patience: u16,
}

impl Plateau {
    /// A loss is better when it is below the best so far by more than this share of it: PyTorch's default.
    pub const THRESHOLD: f64 = 1e-4;
    /// As many rounds as a study can have.
    pub const MAX_PATIENCE: u16 = Training::MAX_ROUNDS;

    /// How often the rates are reduced after rounds with these losses.
    pub fn reductions(self, losses: impl IntoIterator<Item = f64>) -> u16 {
        let (mut best, mut worse, mut reductions) = (f64::INFINITY, 0, 0_u16);
        for loss in losses {
            if loss < best * (1.0 - Self::THRESHOLD) {
                (best, worse) = (loss, 0);
            } else {
                worse += 1;
            }
            if worse > u32::from(self.patience) {
                reductions = reductions.saturating_add(1);
                worse = 0;
            }
        }
        reductions
    }
}

impl Schedule {
    /// How often the rates are reduced after rounds with these losses, in the order of the rounds. Of more rounds
    /// there are never fewer reductions.
    pub fn reductions(self, losses: impl IntoIterator<Item = f64>) -> u16 {
        match self {
            Self::Constant => 0,
            Self::Plateau(plateau) => plateau.reductions(losses),
        }
    }

    /// Whether the rates of a round depend on the validation of those before it.
    pub const fn needs_validation(self) -> bool {
        matches!(self, Self::Plateau(_))
    }

    pub(super) fn check(self, problems: &mut Problems) {
        let Self::Plateau(Plateau { factor, patience }) = self else { return };
        problems.unless(
            factor > 0.0 && factor < 1.0,
            "training.schedule.plateau.factor",
            "must be in (0, 1): the rates fall",
        );
        problems.unless(
            patience <= Plateau::MAX_PATIENCE,
            "training.schedule.plateau.patience",
            "must be 0 to 10000 rounds",
        );
    }
}

impl Training {
    /// This training at the rates after so many reductions, as a work order names them. Factors are multiplied one
    /// by one, so that every machine has the same rates to the last bit.
    pub fn reduced(&self, reductions: u16) -> Self {
        let factor = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Plateau(plateau) => plateau.factor,
        };
        let reduced = |rate: f64| (0..reductions).fold(rate, |rate, _| rate * factor);
        Self {
            learning_rate: reduced(self.learning_rate),
            policy_learning_rate: reduced(self.policy_learning_rate),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Study, StudyError, sample};
    use super::*;

    fn plateau(factor: f64, patience: u16) -> Schedule {
        Schedule::Plateau(Plateau { factor, patience })
    }

    /// The number of reductions after each of the rounds.
    fn course(patience: u16, losses: &[f64]) -> Vec<u16> {
        let after = |rounds| plateau(0.1, patience).reductions(losses[..rounds].iter().copied());
        (1..=losses.len()).map(after).collect()
    }

    /// What `torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.1, patience=…, eps=0)` of PyTorch 2.15 does.
    #[test]
    fn reductions_are_those_of_pytorch() {
        let noisy = [0.70, 0.71, 0.70, 0.72, 0.69, 0.70, 0.70, 0.70, 0.70];
        assert_eq!(course(0, &noisy), [0, 1, 2, 3, 3, 4, 5, 6, 7]);
        assert_eq!(course(1, &noisy), [0, 0, 1, 1, 1, 1, 2, 2, 3]);
        assert_eq!(course(2, &noisy), [0, 0, 0, 1, 1, 1, 1, 2, 2]);
        assert_eq!(course(0, &[0.9, 0.8, 0.7, 0.6, 0.5]), [0; 5], "a falling loss reduces nothing");
        assert_eq!(course(2, &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]), [0, 0, 0, 1, 1, 1, 2]);
        let hardly = [1.0, 0.999_95, 0.9999, 0.999_85, 0.9998];
        assert_eq!(course(1, &hardly), [0, 0, 1, 1, 1], "better by a ten-thousandth is not better");
    }

    proptest! {
        #[test]
        fn more_rounds_never_reduce_less(
            losses in prop::collection::vec(0.0f64..2.0, 1..40), patience in 0u16..5
        ) {
            let course = course(patience, &losses);
            prop_assert!(course.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] <= pair[0] + 1));
            prop_assert!(course[0] == 0, "the first loss is the best so far");
            prop_assert_eq!(Schedule::Constant.reductions(losses), 0);
        }
    }

    #[test]
    fn both_rates_fall_and_nothing_else_changes() {
        let mut training = sample::study().training;
        training.schedule = plateau(0.5, 3);
        assert_eq!(training.reduced(0), training);
        let reduced = training.reduced(2);
        assert_eq!(reduced.learning_rate, training.learning_rate * 0.25);
        assert_eq!(reduced.policy_learning_rate, training.policy_learning_rate * 0.25);
        let Training { learning_rate, policy_learning_rate, .. } = training;
        assert_eq!(Training { learning_rate, policy_learning_rate, ..reduced }, training);
        training.schedule = Schedule::Constant;
        assert_eq!(training.reduced(7), training);
    }

    #[test]
    fn a_schedule_is_a_word_or_a_table_and_constant_if_left_out() {
        let text = sample::study().to_json();
        let constant = r#""schedule":"constant","#;
        let silent = text.replace(constant, "");
        assert_ne!(silent, text);
        assert_eq!(Study::from_json(&silent).unwrap().training.schedule, Schedule::Constant);
        let read = |schedule: &str| {
            let study = Study::from_json(&text.replace(constant, &format!(r#""schedule":{schedule},"#)));
            study.map(|study| study.training.schedule)
        };
        assert_eq!(read(r#"{"plateau":{"factor":0.1,"patience":6}}"#), Ok(plateau(0.1, 6)));
        for wrong in [
            r#""plateau""#,
            r#""cosine""#,
            r#"{"plateau":{"factor":0.1}}"#,
            r#"{"plateau":{"factor":0.1,"patience":6,"cooldown":1}}"#,
            r#"{"plateau":{"factor":0.1,"patience":6},"constant":null}"#,
        ] {
            assert!(matches!(read(wrong), Err(StudyError::Syntax(_))), "{wrong} is a schedule");
        }
    }

    #[test]
    fn a_schedule_that_does_not_fall_is_named() {
        for (schedule, key) in [
            (plateau(1.0, 6), "plateau.factor"),
            (plateau(0.0, 6), "plateau.factor"),
            (plateau(f64::NAN, 6), "plateau.factor"),
            (plateau(0.1, 10_001), "plateau.patience"),
        ] {
            let mut study = sample::study();
            study.training.schedule = schedule;
            let text = study.check().unwrap_err().to_string();
            assert!(text.contains(key), "{key} is missing from {text}");
        }
    }
}
