//! Dry training: a stand-in for a site's work that takes as long as the work would, and reads no image.
//!
//! It is for planning a consortium and for tests of the network: hundreds of sites fit one machine, and in virtual time
//! a study of days takes seconds. What it answers is drawn, of the right shape, and means nothing. So that nobody takes
//! it for a result, it works for no study but one whose name ends in [`DRY_STUDY`]; that name is on the report and on
//! every package. No configuration file and no option of `consilium-client` leads here: only a program that calls
//! [`crate::run`] does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use consilium_domain::{ClassCounts, CohortSummary, ModalityCounts, Study, Task};

/// The end of the name of every study that dry training works for.
pub const DRY_STUDY: &str = "-dry-phantoms";

/// A site that only seems to work.
#[derive(Debug, Clone)]
pub struct DryTraining {
    /// Patients it pretends to have, half of them methylated.
    pub cases: u32,
    /// How long it takes for what.
    pub pace: Pace,
    /// What it has spent on it so far.
    pub busy: BusyMeter,
}

/// How long a site takes for a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// To read and preprocess one modality's scan.
    pub preparing: Duration,
    /// For one pass over one patient in training.
    pub training: Duration,
    /// To score one.
    pub scoring: Duration,
}

/// Time spent working. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct BusyMeter(Arc<AtomicU64>);

impl BusyMeter {
    /// All time spent so far.
    pub fn spent(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, spent: Duration) {
        self.0.fetch_add(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl DryTraining {
    /// The site's patients as it would deal and declare them.
    pub(crate) fn cohort(&self, study: &Study) -> CohortSummary {
        let methylated = self.cases / 2;
        let classes = ClassCounts { methylated, unmethylated: self.cases - methylated };
        let counts = deal(classes, usize::from(study.evaluation.folds), study.evaluation.holdout_fraction);
        let modalities = study.modalities.iter().map(|&modality| (modality, counts.clone())).collect();
        CohortSummary { modalities, ..CohortSummary::default() }
    }

    /// How long the preparation of `study` takes.
    pub(crate) fn preparing(&self, study: &Study) -> Duration {
        let scans = self.cases * u32::try_from(study.modalities.len()).unwrap_or(u32::MAX);
        self.pace.preparing * scans
    }

    /// How long `task` takes.
    pub(crate) fn working(&self, study: &Study, task: &Task) -> Duration {
        let cohort = self.cohort(study);
        match task {
            Task::Train { lane, .. } => {
                let cases = cohort.counts(lane.modality).training(lane.fold).total();
                self.pace.training * cases * u32::from(study.training.local_epochs)
            }
            Task::Validate { lane, .. } => {
                self.pace.scoring * cohort.counts(lane.modality).validation(lane.fold).total()
            }
            Task::PredictHoldout { lane, .. } => {
                self.pace.scoring * cohort.counts(lane.modality).holdout.total()
            }
            // Means of numbers that are there already.
            Task::Fuse { .. } | Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => Duration::ZERO,
        }
    }
}

/// Sets the hold-out's share of each class aside and deals the rest over the folds, one by one.
fn deal(classes: ClassCounts, folds: usize, holdout_fraction: f64) -> ModalityCounts {
    let held_out = |count: u32| (f64::from(count) * holdout_fraction).round() as u32;
    let holdout = ClassCounts {
        methylated: held_out(classes.methylated),
        unmethylated: held_out(classes.unmethylated),
    };
    let mut counts = ModalityCounts { folds: vec![ClassCounts::default(); folds], holdout };
    for place in 0..(classes.methylated - holdout.methylated) as usize {
        counts.folds[place % folds].methylated += 1;
    }
    for place in 0..(classes.unmethylated - holdout.unmethylated) as usize {
        counts.folds[place % folds].unmethylated += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_dealt_once() {
        for cases in [0u32, 1, 2, 4, 7, 61, 511] {
            let classes = ClassCounts { methylated: cases / 2, unmethylated: cases - cases / 2 };
            let dealt = deal(classes, 5, 0.3);
            let folds: ClassCounts = dealt.folds.iter().copied().sum();
            assert_eq!(folds + dealt.holdout, classes);
            let totals: Vec<u32> = dealt.folds.iter().map(|counts| counts.total()).collect();
            assert!(totals.iter().max().unwrap() - totals.iter().min().unwrap() <= 2, "{totals:?}");
        }
    }
}
