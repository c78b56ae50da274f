//! What a site tells of its patients: counts, never rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ClassCounts, Fold, Modality};

/// The patients with one modality, by fold and class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModalityCounts {
    /// One entry a fold.
    pub folds: Vec<ClassCounts>,
    /// The patients set aside for the final evaluation.
    pub holdout: ClassCounts,
}

impl ModalityCounts {
    /// The patients a lane validated on `fold` trains on.
    pub fn training(&self, fold: Fold) -> ClassCounts {
        self.folds
            .iter()
            .enumerate()
            .filter(|&(k, _)| k != usize::from(fold.0))
            .map(|(_, counts)| *counts)
            .sum()
    }

    /// The patients a lane validated on `fold` is validated on.
    pub fn validation(&self, fold: Fold) -> ClassCounts {
        self.folds.get(usize::from(fold.0)).copied().unwrap_or_default()
    }
}

/// A site's cohort in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CohortSummary {
    /// Usable patients by modality.
    pub modalities: BTreeMap<Modality, ModalityCounts>,
    /// Scans that were left out, by reason.
    pub excluded: BTreeMap<String, u32>,
}

impl CohortSummary {
    /// Counts for `modality`; all zero when the site has none.
    pub fn counts(&self, modality: Modality) -> ModalityCounts {
        self.modalities.get(&modality).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_is_everything_but_the_fold_and_the_holdout() {
        let folds = (1..=3).map(|n| ClassCounts { methylated: n, unmethylated: 10 * n }).collect();
        let counts = ModalityCounts { folds, holdout: ClassCounts { methylated: 100, unmethylated: 100 } };
        assert_eq!(counts.training(Fold(1)), ClassCounts { methylated: 4, unmethylated: 40 });
        assert_eq!(counts.validation(Fold(1)), ClassCounts { methylated: 2, unmethylated: 20 });
        assert_eq!(counts.validation(Fold(9)), ClassCounts::default());
    }
}
