//! What makes a study sensible. All problems are reported at once, each with its key.

use std::collections::BTreeSet;

use super::{Design, Evaluation, Selection, Study, Training};
use crate::network::{NetworkSpec, StemMode, Transfer};

/// Why a text is not a study.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StudyError {
    /// Not the right shape.
    #[error("the study cannot be read: {0}")]
    Syntax(String),
    /// The right shape with impossible values; one line a problem.
    #[error("the study has {} problem(s):\n  {}", .0.len(), .0.join("\n  "))]
    Values(Vec<String>),
}

impl Study {
    /// Checks every value and reports all problems.
    pub fn check(&self) -> Result<(), StudyError> {
        let mut problems = Problems(Vec::new());
        self.check_plan(&mut problems);
        self.check_training(&mut problems);
        self.check_federation(&mut problems);
        if problems.0.is_empty() { Ok(()) } else { Err(StudyError::Values(problems.0)) }
    }

    fn check_plan(&self, problems: &mut Problems) {
        problems.unless((1..=120).contains(&self.name.len()), "name", "must have 1 to 120 bytes");
        problems.unless(is_nonempty_set(&self.arms), "arms", "must name at least one arm, none twice");
        problems.unless(
            is_nonempty_set(&self.modalities),
            "modalities",
            "must name at least one modality, none twice",
        );
        let evaluation = &self.evaluation;
        problems.unless((2..=20).contains(&evaluation.folds), "evaluation.folds", "must be 2 to 20");
        let fraction = evaluation.holdout_fraction;
        problems.unless(
            fraction > 0.0 && fraction <= 0.9,
            "evaluation.holdout_fraction",
            "must be in (0, 0.9]",
        );
        problems.unless((2..=128).contains(&evaluation.bins), "evaluation.bins", "must be 2 to 128");
        problems.unless(
            evaluation.selection != Selection::PaperM || evaluation.bins.is_multiple_of(2),
            "evaluation.bins",
            "must be even with selection = \"paper-m\", whose threshold of 0.5 must be an edge",
        );
        problems.unless(
            evaluation.route_samples <= Evaluation::MAX_ROUTE_SAMPLES,
            "evaluation.route_samples",
            "must be 0 (the preferred path) to 100",
        );
        let (sites, all_train) = (self.federation.sites.len(), self.federation.training_sites.is_empty());
        problems.unless(
            evaluation.design != Design::LeaveOneSiteOut
                || (usize::from(evaluation.folds) == sites && all_train),
            "evaluation.design",
            "\"leave-one-site-out\" needs as many folds as there are sites, all of which train: leave \
             federation.training_sites out and set evaluation.folds to their number",
        );
        let input = self.preprocessing.input_shape();
        problems.unless(
            input.iter().all(|side| (8..=256).contains(side)),
            "preprocessing.side",
            "must be 8 to 256 voxels",
        );
        problems.unless(
            (1..=NetworkSpec::MAX_WIDTH).contains(&self.network.width),
            "network.width",
            "must be 1 to 128 channels",
        );
    }

    fn check_training(&self, problems: &mut Problems) {
        let training = &self.training;
        problems.unless(
            (1..=Training::MAX_ROUNDS).contains(&training.rounds),
            "training.rounds",
            "must be 1 to 10000",
        );
        problems.unless(
            (1..=1_000).contains(&training.local_epochs),
            "training.local_epochs",
            "must be 1 to 1000",
        );
        problems.unless((2..=256).contains(&training.batch_size), "training.batch_size", "must be 2 to 256");
        for (key, rate) in [
            ("training.learning_rate", training.learning_rate),
            ("training.policy_learning_rate", training.policy_learning_rate),
        ] {
            problems.unless(rate > 0.0 && rate <= 1.0, key, "must be in (0, 1]");
        }
        problems.unless(
            (0.0..1.0).contains(&training.weight_decay),
            "training.weight_decay",
            "must be in [0, 1)",
        );
        problems.unless(
            training.temperature > 0.0 && training.temperature <= 1e6,
            "training.temperature",
            "must be in (0, 1e6]",
        );
        problems.unless(
            training.transfer == Transfer::All || training.stem == StemMode::Frozen,
            "training.stem",
            "must be \"frozen\" with transfer = \"layer4\", which freezes everything before the last stage",
        );
        training.schedule.check(problems);
        training.augmentation.check(problems);
    }

    fn check_federation(&self, problems: &mut Problems) {
        let federation = &self.federation;
        problems.unless(
            is_nonempty_set(&federation.sites),
            "federation.sites",
            "must name sites, none twice",
        );
        problems.unless(federation.sites.len() <= 500, "federation.sites", "must name at most 500 sites");
        problems.unless(
            federation.training_sites.iter().all(|site| federation.sites.contains(site)),
            "federation.training_sites",
            "must be among federation.sites",
        );
        let trainers = match federation.training_sites.len() {
            0 => federation.sites.len(),
            some => some,
        };
        problems.unless(
            (1..=trainers).contains(&usize::from(federation.quorum)),
            "federation.quorum",
            "must be at least 1 and at most the number of training sites",
        );
        problems.unless(federation.enrolment_secs > 0, "federation.enrolment_secs", "must be positive");
        problems.unless(federation.deadline_secs > 0, "federation.deadline_secs", "must be positive");
        let fixed = federation.fixed_point;
        problems.unless(
            (8..=28).contains(&fixed.fraction_bits)
                && fixed.clip.is_power_of_two()
                && fixed.clip.ilog2() + u32::from(fixed.fraction_bits) <= 30,
            "federation.fixed_point",
            "fraction_bits must be 8 to 28, clip a power of two, and both together fit 31 bits",
        );
    }
}

/// What is wrong so far, one line a problem.
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn unless(&mut self, fine: bool, key: &str, remedy: &str) {
        if !fine {
            self.0.push(format!("{key}: {remedy}"));
        }
    }
}

fn is_nonempty_set<T: Ord>(items: &[T]) -> bool {
    !items.is_empty() && is_set(items)
}

pub(super) fn is_set<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() == items.len()
}

#[cfg(test)]
mod tests {
    use super::super::{ClinicalBaseline, sample};
    use super::*;

    #[test]
    fn the_sample_is_sensible() {
        assert_eq!(sample::study().check(), Ok(()));
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_keys() {
        let mut study = sample::study();
        study.arms.clear();
        study.evaluation = Evaluation {
            folds: 1,
            holdout_fraction: f64::NAN,
            bins: 1,
            selection: Selection::PaperM,
            route_samples: 101,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        };
        study.training.transfer = Transfer::Layer4;
        study.training.stem = StemMode::Tuned;
        study.federation.quorum = 9;
        let text = study.check().unwrap_err().to_string();
        for key in [
            "arms",
            "evaluation.folds",
            "evaluation.holdout_fraction",
            "evaluation.bins: must be 2",
            "evaluation.bins: must be even",
            "evaluation.route_samples",
            "training.stem",
            "quorum",
        ] {
            assert!(text.contains(key), "{key} is missing from {text}");
        }
    }
}
