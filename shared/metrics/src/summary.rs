//! Every figure of a report about one set of patients.

use serde::{Deserialize, Serialize};

use crate::{
    AucEstimate, BinEdge, Bracket, Confusion, Estimate, GridMismatch, ScoreHistogram, Totals, auc,
    average_precision,
};

/// The figures of one score histogram. What is undefined for it is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Patients of the positive class.
    pub positives: u32,
    /// Patients of the negative class.
    pub negatives: u32,
    /// Area under the ROC curve; needs both classes.
    pub auc: Option<AucEstimate>,
    /// Average precision; needs positive patients.
    pub average_precision: Option<Bracket>,
    /// The score at and above which a patient is called positive, chosen on other patients.
    pub threshold: Option<f64>,
    /// Patients by class and side of the threshold.
    pub confusion: Option<Confusion>,
    /// Share of positive patients called positive.
    pub sensitivity: Option<Estimate>,
    /// Share of negative patients called negative.
    pub specificity: Option<Estimate>,
    /// Share of patients called positive who are.
    pub positive_predictive_value: Option<Estimate>,
    /// Share of patients called negative who are.
    pub negative_predictive_value: Option<Estimate>,
    /// Share of patients called by their class.
    pub accuracy: Option<Estimate>,
}

impl Scorecard {
    /// The figures of `histogram`. Without a threshold (validation saw one class only) those that need one
    /// are `None`.
    pub fn of(histogram: &ScoreHistogram, threshold: Option<BinEdge>) -> Result<Self, GridMismatch> {
        let Totals { positives, negatives } = histogram.totals();
        let confusion = threshold.map(|edge| Confusion::at(histogram, edge)).transpose()?;
        Ok(Self {
            positives,
            negatives,
            auc: auc(histogram),
            average_precision: average_precision(histogram),
            threshold: threshold.map(BinEdge::threshold),
            confusion,
            sensitivity: confusion.and_then(|c| c.sensitivity()),
            specificity: confusion.and_then(|c| c.specificity()),
            positive_predictive_value: confusion.and_then(|c| c.positive_predictive_value()),
            negative_predictive_value: confusion.and_then(|c| c.negative_predictive_value()),
            accuracy: confusion.and_then(|c| c.accuracy()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::youden;

    #[test]
    fn a_scorecard_survives_json() {
        let histogram = ScoreHistogram::from_counts(vec![1, 2, 9], vec![7, 2, 1]).unwrap();
        let scorecard = Scorecard::of(&histogram, youden(&histogram)).unwrap();
        assert!(scorecard.auc.is_some() && scorecard.average_precision.is_some());
        assert_eq!(scorecard.threshold, Some(2.0 / 3.0));
        assert_eq!(scorecard.sensitivity.unwrap().value, 0.75);
        let text = serde_json::to_string(&scorecard).unwrap();
        assert_eq!(serde_json::from_str::<Scorecard>(&text).unwrap(), scorecard);
    }

    #[test]
    fn no_patients_no_figures() {
        let empty = ScoreHistogram::new(4).unwrap();
        let scorecard = Scorecard::of(&empty, Some(BinEdge::new(2, 4).unwrap())).unwrap();
        assert_eq!((scorecard.auc, scorecard.average_precision), (None, None));
        assert_eq!((scorecard.sensitivity, scorecard.accuracy), (None, None));
        assert_eq!(scorecard.threshold, Some(0.5));
    }

    #[test]
    fn without_a_threshold_ranking_figures_remain() {
        let histogram = ScoreHistogram::from_counts(vec![1, 2], vec![2, 1]).unwrap();
        let scorecard = Scorecard::of(&histogram, None).unwrap();
        assert!(scorecard.auc.is_some() && scorecard.confusion.is_none() && scorecard.specificity.is_none());
    }
}
