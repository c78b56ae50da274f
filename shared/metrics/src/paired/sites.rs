//! Differences that sites found on their own patients, combined.

use serde::{Deserialize, Serialize};

use super::PairedComparison;
use crate::meta::{Effect, RandomEffects, TauRule, random_effects};
use crate::{ScoreHistogram, Totals};

/// What a site tells of a comparison of two arms: the difference of its two areas, and DeLong's variance of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct SiteDifference {
    difference: f64,
    variance: f64,
    classes: Totals,
}

/// Numbers that no comparison gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SiteDifferenceError {
    /// Too few patients for a variance.
    #[error("{positives} positive and {negatives} negative patients: a variance needs two of each class")]
    TooFew {
        /// Patients of the positive class.
        positives: u32,
        /// Patients of the negative class.
        negatives: u32,
    },
    /// Beyond what areas can differ by.
    #[error("no two areas differ like this: a difference lies in [-1, 1] and its variance in [0, 2]")]
    OutOfRange,
}

impl SiteDifference {
    /// What a site may tell of its comparison of patients of these classes.
    pub fn of(comparison: &PairedComparison, classes: Totals) -> Result<Self, SiteDifferenceError> {
        let Totals { positives, negatives } = classes;
        let variance = comparison.variance.ok_or(SiteDifferenceError::TooFew { positives, negatives })?;
        Self::checked(comparison.difference, variance, classes)
    }

    fn checked(difference: f64, variance: f64, classes: Totals) -> Result<Self, SiteDifferenceError> {
        let Totals { positives, negatives } = classes;
        let most = ScoreHistogram::MAX_CASES;
        if positives < 2 || negatives < 2 {
            return Err(SiteDifferenceError::TooFew { positives, negatives });
        }
        // Placements differ by at most 2 between patients, so a class of two has a sample variance of at most
        // 2.
        let sound = (-1.0..=1.0).contains(&difference) && (0.0..=2.0).contains(&variance);
        let counted = positives <= most && negatives <= most;
        if sound && counted {
            Ok(Self { difference, variance, classes })
        } else {
            Err(SiteDifferenceError::OutOfRange)
        }
    }

    /// The comparison with the arms in the other order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { difference: -self.difference, ..*self }
    }

    /// The first arm's area minus the second's.
    pub fn difference(&self) -> f64 {
        self.difference
    }

    /// Its variance, as the site told it.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// Positive and negative patients compared.
    pub fn classes(&self) -> Totals {
        self.classes
    }

    /// The variance for combining, and whether it was lifted to the least one that is believed: as if a
    /// single patient of each class had moved by half a placement. Without it, a small site where the arms
    /// agree by luck would have an infinite weight.
    fn believed_variance(&self) -> (f64, bool) {
        let square = |count: u32| f64::from(count) * f64::from(count);
        let least = 0.25 / square(self.classes.positives) + 0.25 / square(self.classes.negatives);
        if self.variance < least { (least, true) } else { (self.variance, false) }
    }
}

#[derive(Deserialize)]
struct Unchecked {
    difference: f64,
    variance: f64,
    classes: Totals,
}

impl TryFrom<Unchecked> for SiteDifference {
    type Error = SiteDifferenceError;

    fn try_from(sent: Unchecked) -> Result<Self, Self::Error> {
        Self::checked(sent.difference, sent.variance, sent.classes)
    }
}

/// The sites' differences combined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteDifferences {
    /// On the scale of the difference of areas.
    pub combined: RandomEffects,
    /// For each site, in the order given, whether its variance was lifted to the least one believed.
    pub lifted: Vec<bool>,
}

/// Random effects over the sites' differences; `None` without sites.
pub fn compare_sites(sites: &[SiteDifference], rule: TauRule) -> Option<SiteDifferences> {
    let (variances, lifted): (Vec<f64>, Vec<bool>) =
        sites.iter().map(SiteDifference::believed_variance).unzip();
    let effect = |(site, &variance): (&SiteDifference, &f64)| Effect::new(site.difference, variance);
    let effects: Option<Vec<Effect>> = sites.iter().zip(&variances).map(effect).collect();
    Some(SiteDifferences { combined: random_effects(&effects?, rule)?, lifted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PairedScore, compare_rows};

    const CLASSES: Totals = Totals { positives: 10, negatives: 20 };

    #[test]
    fn a_site_without_variance_does_not_outweigh_the_others() {
        let site = |difference, variance| SiteDifference::checked(difference, variance, CLASSES).unwrap();
        let sites = [site(0.0, 0.0), site(0.1, 0.004), site(0.05, 0.0035)];
        let combined = compare_sites(&sites, TauRule::PauleMandel).unwrap();
        assert_eq!(combined.lifted, [true, false, false]);
        assert!(combined.combined.estimate > 0.0 && combined.combined.estimate < 0.1);
        assert_eq!(compare_sites(&[], TauRule::PauleMandel), None);
    }

    #[test]
    fn what_no_comparison_gives_is_refused() {
        for (difference, variance) in [(f64::NAN, 0.1), (1.5, 0.1), (0.0, -0.1), (0.0, f64::NAN)] {
            assert_eq!(
                SiteDifference::checked(difference, variance, CLASSES),
                Err(SiteDifferenceError::OutOfRange)
            );
        }
        let text = r#"{"difference":0.5,"variance":0.1,"classes":{"positives":1,"negatives":9}}"#;
        assert!(serde_json::from_str::<SiteDifference>(text).is_err());
    }

    /// The most that two and two patients can differ.
    #[test]
    fn any_comparison_can_be_told() {
        let row = |first, second, positive| PairedScore { first, second, positive };
        let rows = [row(0.0, 1.0, true), row(1.0, 0.0, true), row(0.5, 0.5, false), row(0.4, 0.6, false)];
        let comparison = compare_rows(&rows).unwrap().unwrap();
        assert!(
            SiteDifference::of(&comparison, Totals { positives: 2, negatives: 2 }).is_ok(),
            "{comparison:?}"
        );
    }
}
