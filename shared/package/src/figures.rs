//! The figures of one set of patients, as a card tells them.
//!
//! A copy of what `consilium_metrics` computes rather than the thing itself: a card is read for years, by programs that
//! were not built from this repository, so its layout changes only with [`crate::CARD_SCHEMA`].

use consilium_metrics::{AucEstimate, Bracket, Estimate, Scorecard};
use serde::{Deserialize, Serialize};

use crate::PatientCounts;

/// A number in [0, 1] and the range around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// The lower end of the range.
    pub lower: f64,
    /// The upper end of the range.
    pub upper: f64,
}

impl Figure {
    /// Whether it is what it says.
    pub(crate) fn is_sound(&self) -> bool {
        let inside = |number: f64| (0.0..=1.0).contains(&number);
        [self.lower, self.value, self.upper].into_iter().all(inside) && self.lower <= self.upper
    }
}

/// The figures of one set of patients, pooled over sites. What is undefined for it is `None`.
///
/// Ranges are 95 % confidence intervals, but for `average_precision`, whose range is what the bins of the score
/// histograms leave open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// The patients.
    pub patients: PatientCounts,
    /// Area under the ROC curve.
    pub auc: Option<Figure>,
    /// Average precision.
    pub average_precision: Option<Figure>,
    /// The score at and above which a patient is called methylated, chosen on validation patients.
    pub threshold: Option<f64>,
    /// Share of methylated patients called methylated.
    pub sensitivity: Option<Figure>,
    /// Share of unmethylated patients called unmethylated.
    pub specificity: Option<Figure>,
    /// Share of patients called methylated who are.
    pub positive_predictive_value: Option<Figure>,
    /// Share of patients called unmethylated who are.
    pub negative_predictive_value: Option<Figure>,
    /// Share of patients called by their class.
    pub accuracy: Option<Figure>,
}

impl Figures {
    /// Whether every number is one that these figures can be.
    pub(crate) fn are_sound(&self) -> bool {
        let ranges = [
            self.auc,
            self.average_precision,
            self.sensitivity,
            self.specificity,
            self.positive_predictive_value,
            self.negative_predictive_value,
            self.accuracy,
        ];
        ranges.iter().flatten().all(Figure::is_sound) && is_threshold(self.threshold)
    }
}

/// Whether there is none, or it divides [0, 1].
pub(crate) fn is_threshold(threshold: Option<f64>) -> bool {
    threshold.is_none_or(|threshold| (0.0..=1.0).contains(&threshold))
}

impl From<&Scorecard> for Figures {
    fn from(card: &Scorecard) -> Self {
        Self {
            patients: PatientCounts { methylated: card.positives, unmethylated: card.negatives },
            auc: card.auc.as_ref().map(Figure::from),
            average_precision: card.average_precision.as_ref().map(Figure::from),
            threshold: card.threshold,
            sensitivity: card.sensitivity.as_ref().map(Figure::from),
            specificity: card.specificity.as_ref().map(Figure::from),
            positive_predictive_value: card.positive_predictive_value.as_ref().map(Figure::from),
            negative_predictive_value: card.negative_predictive_value.as_ref().map(Figure::from),
            accuracy: card.accuracy.as_ref().map(Figure::from),
        }
    }
}

impl From<&AucEstimate> for Figure {
    fn from(auc: &AucEstimate) -> Self {
        Self { value: auc.value, lower: auc.interval.lower, upper: auc.interval.upper }
    }
}

impl From<&Estimate> for Figure {
    fn from(estimate: &Estimate) -> Self {
        Self { value: estimate.value, lower: estimate.interval.lower, upper: estimate.interval.upper }
    }
}

impl From<&Bracket> for Figure {
    fn from(bracket: &Bracket) -> Self {
        Self { value: bracket.value, lower: bracket.lower, upper: bracket.upper }
    }
}

#[cfg(test)]
mod tests {
    use consilium_metrics::{ScoreHistogram, youden};

    use super::*;

    #[test]
    fn every_figure_of_a_scorecard_is_told() {
        let histogram = ScoreHistogram::from_counts(vec![1, 2, 9], vec![7, 2, 1]).unwrap();
        let card = Scorecard::of(&histogram, youden(&histogram)).unwrap();
        let figures = Figures::from(&card);
        assert!(figures.are_sound());
        assert_eq!(figures.patients, PatientCounts { methylated: 12, unmethylated: 10 });
        assert_eq!(figures.threshold, Some(2.0 / 3.0));
        assert_eq!(figures.sensitivity.unwrap().value, 0.75);
        let (auc, told) = (card.auc.unwrap(), figures.auc.unwrap());
        assert_eq!((told.value, told.lower, told.upper), (auc.value, auc.interval.lower, auc.interval.upper));
        let text = serde_json::to_string(&figures).unwrap();
        assert!(!text.contains("null"), "{text}");
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
    }

    #[test]
    fn figures_that_cannot_be_are_noticed() {
        let fine = Figure { value: 0.5, lower: 0.4, upper: 0.6 };
        assert!(fine.is_sound());
        for wrong in [
            Figure { value: 1.1, ..fine },
            Figure { lower: -0.1, ..fine },
            Figure { upper: f64::NAN, ..fine },
            Figure { lower: 0.7, ..fine },
        ] {
            assert!(!wrong.is_sound(), "{wrong:?}");
        }
        assert!(!is_threshold(Some(1.5)) && is_threshold(None));
    }
}
