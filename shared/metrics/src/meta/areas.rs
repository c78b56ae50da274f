//! Each site's area under the ROC curve, combined on the logit scale.

use serde::{Deserialize, Serialize};

use super::{Effect, RandomEffects, TauRule, random_effects};
use crate::{AucEstimate, Interval, ScoreHistogram, Totals, auc};

/// What a site's area contributes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SiteArea {
    /// The site's area with its own interval.
    pub area: AucEstimate,
    /// The area whose logit was combined: `area.value`, or the one moved off 0 or 1 by half a pair.
    pub combined_area: f64,
    /// Variance of the logit.
    pub logit_variance: f64,
    /// Where the variance comes from.
    pub variance_rule: AreaVariance,
}

/// Where the variance of a site's area comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AreaVariance {
    /// DeLong's.
    Delong,
    /// Hanley and McNeil's (doi:10.1148/radiology.143.1.7063747), from the area and the class sizes alone:
    /// where DeLong's is zero or needs a second patient of a class.
    HanleyMcneil,
}

/// Why a site has no part in the meta-analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// A class is empty: the site has no area.
    EmptyClass,
}

/// The areas of several sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AreasMetaAnalysis {
    /// Each site, in the order given.
    pub sites: Vec<Result<SiteArea, LeftOut>>,
    /// Combined on the scale of the logit; its weights are those of the sites that have an area, in order.
    pub logit: RandomEffects,
    /// The area that corresponds to the combined logit: the median over the population of sites.
    pub area: f64,
    /// 95 % confidence interval of `area`; `None` for a single site.
    pub interval: Option<Interval>,
    /// Where 95 % of the true areas of further sites are expected; `None` below three sites.
    pub prediction: Option<Interval>,
}

impl SiteArea {
    /// What `histogram` contributes.
    ///
    /// An area of 0 or 1 has no logit. It is moved by half a pair, to (U + 1/2) / (P N + 1): the least that
    /// can be said against it, as for a proportion.
    pub fn of(histogram: &ScoreHistogram) -> Result<Self, LeftOut> {
        let area = auc(histogram).ok_or(LeftOut::EmptyClass)?;
        let Totals { positives, negatives } = histogram.totals();
        let (p, n) = (f64::from(positives), f64::from(negatives));
        let at_end = area.value == 0.0 || area.value == 1.0;
        let combined_area = if at_end { (area.value * p * n + 0.5) / (p * n + 1.0) } else { area.value };
        let (variance, variance_rule) = match area.variance {
            Some(variance) if variance > 0.0 && !at_end => (variance, AreaVariance::Delong),
            _ => (hanley_mcneil(combined_area, p, n), AreaVariance::HanleyMcneil),
        };
        let slope = 1.0 / (combined_area * (1.0 - combined_area));
        Ok(Self { area, combined_area, logit_variance: slope * slope * variance, variance_rule })
    }

    fn effect(&self) -> Option<Effect> {
        let logit = libm::log(self.combined_area) - libm::log1p(-self.combined_area);
        Effect::new(logit, self.logit_variance)
    }
}

/// Positive for an area strictly between 0 and 1.
fn hanley_mcneil(area: f64, positives: f64, negatives: f64) -> f64 {
    let two_positives = area / (2.0 - area);
    let two_negatives = 2.0 * area * area / (1.0 + area);
    let squared = area * area;
    let variance = area * (1.0 - area)
        + (positives - 1.0) * (two_positives - squared)
        + (negatives - 1.0) * (two_negatives - squared);
    variance / (positives * negatives)
}

/// Combines the areas of `sites`; `None` where none has an area.
pub fn meta_analyse_areas<'a>(
    sites: impl IntoIterator<Item = &'a ScoreHistogram>,
    rule: TauRule,
) -> Option<AreasMetaAnalysis> {
    let sites: Vec<Result<SiteArea, LeftOut>> = sites.into_iter().map(SiteArea::of).collect();
    let effects: Option<Vec<Effect>> = sites.iter().flatten().map(SiteArea::effect).collect();
    let logit = random_effects(&effects?, rule)?;
    let back =
        |interval: Interval| Interval { lower: logistic(interval.lower), upper: logistic(interval.upper) };
    let (interval, prediction) = (logit.interval.map(back), logit.prediction.map(back));
    Some(AreasMetaAnalysis { sites, area: logistic(logit.estimate), interval, prediction, logit })
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    #[test]
    fn a_perfect_site_counts_but_not_for_everything() {
        let perfect = histogram(&[0, 0, 4], &[5, 0, 0]);
        let site = SiteArea::of(&perfect).unwrap();
        assert_eq!((site.area.value, site.combined_area), (1.0, 20.5 / 21.0));
        assert_eq!(site.variance_rule, AreaVariance::HanleyMcneil);
        let ordinary = histogram(&[5, 8, 12], &[14, 9, 6]);
        let both = meta_analyse_areas([&perfect, &ordinary, &ordinary], TauRule::PauleMandel).unwrap();
        assert!(both.area > auc(&ordinary).unwrap().value && both.area < 0.9, "{both:?}");
        assert!(both.logit.weights[0] < both.logit.weights[1]);
    }

    #[test]
    fn mirrored_sites_cancel() {
        let best = histogram(&[0, 0, 4], &[4, 0, 0]);
        let worst = histogram(&[4, 0, 0], &[0, 0, 4]);
        let combined = meta_analyse_areas([&best, &worst], TauRule::DersimonianLaird).unwrap();
        assert!((combined.area - 0.5).abs() < 1e-12);
    }

    #[test]
    fn sites_without_an_area_are_named() {
        let empty = histogram(&[0, 0], &[3, 1]);
        let single = histogram(&[0, 1], &[2, 2]);
        let tied = histogram(&[0, 5], &[0, 5]);
        let combined = meta_analyse_areas([&empty, &single, &tied], TauRule::PauleMandel).unwrap();
        assert_eq!(combined.sites[0], Err(LeftOut::EmptyClass));
        assert!(
            combined.sites[1].unwrap().logit_variance > 0.0
                && combined.sites[2].unwrap().logit_variance > 0.0
        );
        assert_eq!(combined.logit.weights.len(), 2);
        assert_eq!(meta_analyse_areas([&empty], TauRule::PauleMandel), None);
    }
}
