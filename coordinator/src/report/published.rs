//! What the paper reports, beside what a study of its recipe found.

use consilium_domain::{Arm, Evaluation, Study};
use serde::{Deserialize, Serialize};

/// The study that is the paper's recipe.
const RECIPE: &str = include_str!("../../../docs/samples/study-schmitz2024.toml");

/// Figures somebody else published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Where.
    pub source: String,
    /// What must be known to compare.
    pub note: String,
    /// Area under the ROC curve.
    pub auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Sensitivity at 0.5.
    pub sensitivity: f64,
    /// Specificity at 0.5.
    pub specificity: f64,
}

/// The paper's figures of `arm`, where `study` follows its recipe; whatever the sites and the seed.
pub(super) fn published(study: &Study, arm: Arm) -> Option<Published> {
    let recipe: Study = toml::from_str(RECIPE).expect("a test reads the sample");
    let same = study.modalities == recipe.modalities
        // A baseline beside the arms changes none of them.
        && Evaluation { baseline: recipe.evaluation.baseline, ..study.evaluation.clone() } == recipe.evaluation
        && study.preprocessing == recipe.preprocessing
        && study.network == recipe.network
        && study.training == recipe.training;
    (same && arm == Arm::Spottune).then(|| Published {
        source: "Schmitz, Guo and Wang, Biomed. Phys. Eng. Express 10:055018 (2024), arXiv:2310.12373".to_owned(),
        note: "The best hold-out figures of any modality group, of very likely 57 patients of one hospital: the 95 % \
               interval of that area is about 0.52 to 0.81."
            .to_owned(),
        auc: 0.6604,
        average_precision: 0.6179,
        sensitivity: 0.6667,
        specificity: 0.6061,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_papers_recipe_has_its_figures() {
        let mut study: Study = toml::from_str(RECIPE).unwrap();
        study.seed += 1;
        assert_eq!(published(&study, Arm::Spottune).unwrap().auc, 0.6604);
        assert_eq!(published(&study, Arm::Random), None);
        study.training.rounds -= 1;
        assert_eq!(published(&study, Arm::Spottune), None);
    }
}
