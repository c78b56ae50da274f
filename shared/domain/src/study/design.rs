//! How a study tells a model from luck: who is left out of training, and what a model must beat.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who is set aside for the final evaluation, and what a fold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Design {
    /// Each site sets a random share of each class aside and deals the others over the folds.
    #[default]
    KFold,
    /// Each site sets a random share of each class aside; all its other patients are one fold. A lane never trains on
    /// the site whose fold it is validated on.
    LeaveOneSiteOut,
    /// Each site sets its latest scans aside, whatever their class, and deals the others over the folds. Needs the
    /// dates of scans.
    Temporal,
}

impl Design {
    /// The default, which is not written down: studies of before have the hash they had.
    pub(super) const fn is_default(&self) -> bool {
        matches!(self, Self::KFold)
    }

    /// Its name in a study.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KFold => "k-fold",
            Self::LeaveOneSiteOut => "leave-one-site-out",
            Self::Temporal => "temporal",
        }
    }
}

/// A text that names no design.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no design: use `k-fold`, `leave-one-site-out` or `temporal`")]
pub struct UnknownDesign(String);

impl FromStr for Design {
    type Err = UnknownDesign;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::KFold, Self::LeaveOneSiteOut, Self::Temporal];
        all.into_iter().find(|design| design.name() == text).ok_or_else(|| UnknownDesign(text.to_owned()))
    }
}

/// A model without images that the arms are measured against. A model that does not beat it is worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClinicalBaseline {
    /// There is none.
    #[default]
    None,
    /// A logistic regression on age and sex, fitted on each fold's training patients of all sites together.
    AgeSex,
}

impl ClinicalBaseline {
    /// What it sees of a patient: age in decades from sixty years on, and 1 for men.
    pub const FEATURES: usize = 2;

    /// Half the product of this and the squared slopes is subtracted from the log-likelihood: the default of
    /// scikit-learn (C = 1). Without it, a small site's folds could divide the classes and have no fit.
    pub const RIDGE: f64 = 1.0;

    /// Most often that sites are asked for sums. Newton's method needs fewer than ten; a site that left in between
    /// starts it anew. A bound, because every question tells a little more.
    pub const MOST_STEPS: u16 = 40;

    /// The largest coefficient that sites compute under: odds that grow a hundredfold with ten years. A steeper one
    /// would count the patients above an age to the year.
    pub const LARGEST: f64 = 5.0;

    /// The default, which is not written down: studies of before have the hash they had.
    pub(super) const fn is_default(&self) -> bool {
        matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Study, StudyError, sample};
    use super::*;

    #[test]
    fn what_is_usual_is_not_written_down_and_the_rest_is() {
        let study = sample::study();
        let text = study.to_json();
        assert!(
            !text.contains("design") && !text.contains("baseline"),
            "older studies keep their hash: {text}"
        );
        let mut said = study.clone();
        said.evaluation.design = Design::Temporal;
        said.evaluation.baseline = ClinicalBaseline::AgeSex;
        let text = said.to_json();
        assert!(text.contains(r#""design":"temporal","baseline":"age-sex""#), "{text}");
        assert_eq!(Study::from_json(&text).unwrap(), said);
        assert!(Study::from_json(&text.replace("age-sex", "age")).is_err());
        assert_eq!("leave-one-site-out".parse(), Ok(Design::LeaveOneSiteOut));
        assert!("loso".parse::<Design>().unwrap_err().to_string().contains("temporal"));
    }

    #[test]
    fn leaving_sites_out_needs_a_fold_for_each() {
        let mut study = sample::study();
        study.federation.training_sites.clear();
        study.evaluation.design = Design::LeaveOneSiteOut;
        study.evaluation.folds = u8::try_from(study.federation.sites.len()).unwrap();
        study.check().unwrap();
        let last = study.federation.sites.last().unwrap().clone();
        assert_eq!(study.fold_of(&last).map(|fold| fold.0 + 1), Some(study.evaluation.folds));
        study.evaluation.folds += 1;
        let Err(StudyError::Values(problems)) = study.check() else { panic!("one fold has no site") };
        assert!(problems.iter().any(|problem| problem.contains("evaluation.design")), "{problems:?}");
        study.evaluation.design = Design::KFold;
        assert_eq!(study.fold_of(&last), None);
    }
}
