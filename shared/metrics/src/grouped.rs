//! What may be wrong with figures of sites some of which tell scores by groups of patients: the bounds that then hold.
//!
//! Within a site the order of groups is the order of scores, so that only ties are uncertain. Between sites a patient may have
//! been anywhere between the groups beside its own. Whatever improves when a positive patient's score rises or a negative
//! one's falls lies between its values for the two ends.

use crate::{AucEstimate, Bracket, MergeError, ScoreHistogram, Scorecard, average_precision, brier};

/// The histogram of one site, as it was told.
#[derive(Debug, Clone, Copy)]
pub struct SiteScores<'a> {
    /// What it told.
    pub told: &'a ScoreHistogram,
    /// Whether scores were told by groups of patients ([`ScoreHistogram::told_together`]).
    pub grouped: bool,
}

/// All sites together, as well and as badly as the classes can be apart for scores that were told like this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreEnds {
    /// Every positive patient at its highest bin, every negative one at its lowest.
    pub best: ScoreHistogram,
    /// The other way round.
    pub worst: ScoreHistogram,
    /// Pairs of a positive and a negative patient of one site whose order is certain though the ends overlap.
    certain: u64,
}

impl ScoreEnds {
    /// The ends of these sites' patients; `None` where no site groups, for then bins alone are uncertain, or without a site.
    pub fn of(sites: &[SiteScores<'_>]) -> Result<Option<Self>, MergeError> {
        let Some(first) = sites.first().filter(|_| sites.iter().any(|site| site.grouped)) else {
            return Ok(None);
        };
        let empty = || {
            let bins = vec![0; first.told.bins()];
            ScoreHistogram { positives: bins.clone(), negatives: bins }
        };
        let mut ends = Self { best: empty(), worst: empty(), certain: 0 };
        for site in sites {
            let [lowest, highest] = match site.grouped {
                true => site.told.before_telling(),
                false => [site.told.clone(), site.told.clone()],
            };
            let best =
                ScoreHistogram { positives: highest.positives.clone(), negatives: lowest.negatives.clone() };
            let worst = ScoreHistogram { positives: lowest.positives, negatives: highest.negatives };
            ends.certain += overlapping(&best, &worst) - tied(site.told);
            ends.best.merge(&best)?;
            ends.worst.merge(&worst)?;
        }
        Ok(Some(ends))
    }

    /// How far the area of the scores may be from that of `told`, the sum of all sites; `None` when a class is empty.
    ///
    /// A tie is off by half at most, any other pair that is uncertain by one.
    pub fn area_bound(&self, told: &ScoreHistogram) -> Option<f64> {
        let totals = told.totals();
        let pairs = u64::from(totals.positives) * u64::from(totals.negatives);
        let uncertain = overlapping(&self.best, &self.worst) - self.certain;
        (pairs > 0).then(|| (uncertain as f64 - 0.5 * tied(told) as f64) / pairs as f64)
    }

    /// `scorecard`, the figures of `told`, with bounds that hold for the scores.
    pub fn widen(&self, told: &ScoreHistogram, scorecard: &mut Scorecard) {
        if let (Some(AucEstimate { quantisation_bound, .. }), Some(bound)) =
            (&mut scorecard.auc, self.area_bound(told))
        {
            *quantisation_bound = bound;
        }
        if let Some(bracket) = &mut scorecard.average_precision {
            widen(average_precision(&self.worst), average_precision(&self.best), bracket);
        }
    }

    /// `bracket`, of the Brier score of what was told, so that it holds that of the scores.
    pub fn widen_brier(&self, bracket: &mut Bracket) {
        let of = |histogram| brier(histogram).map(|brier| brier.score);
        // A lower Brier score is the better one.
        widen(of(&self.best), of(&self.worst), bracket);
    }
}

fn widen(low: Option<Bracket>, high: Option<Bracket>, bracket: &mut Bracket) {
    if let (Some(low), Some(high)) = (low, high) {
        bracket.lower = bracket.lower.min(low.lower);
        bracket.upper = bracket.upper.max(high.upper);
    }
}

/// Pairs of a positive and a negative patient that share a bin.
fn tied(histogram: &ScoreHistogram) -> u64 {
    histogram.positives().iter().zip(histogram.negatives()).map(|(&p, &n)| u64::from(p) * u64::from(n)).sum()
}

/// Pairs that are in the right order at one end and not at the other: all but those that are right even at the worst, and
/// those that are wrong even at the best.
fn overlapping(best: &ScoreHistogram, worst: &ScoreHistogram) -> u64 {
    let totals = best.totals();
    let pairs = u64::from(totals.positives) * u64::from(totals.negatives);
    pairs - ordered(worst.positives(), worst.negatives()) - ordered(best.negatives(), best.positives())
}

/// Pairs of one of `above` in a higher bin than one of `below`.
fn ordered(above: &[u32], below: &[u32]) -> u64 {
    let mut lower = 0;
    let mut pairs = 0;
    for (&high, &low) in above.iter().zip(below) {
        pairs += u64::from(high) * lower;
        lower += u64::from(low);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auc;

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    fn pooled(sites: &[SiteScores<'_>]) -> ScoreHistogram {
        let mut sum = sites[0].told.clone();
        sites[1..].iter().for_each(|site| sum.merge(site.told).unwrap());
        sum
    }

    #[test]
    fn without_groups_there_is_nothing_to_widen() {
        let told = histogram(&[1, 2], &[2, 1]);
        assert_eq!(ScoreEnds::of(&[SiteScores { told: &told, grouped: false }]), Ok(None));
        assert_eq!(ScoreEnds::of(&[]), Ok(None));
    }

    #[test]
    fn a_single_site_is_off_by_its_ties_as_its_bins_are() {
        let told = histogram(&[0, 1, 0, 0, 2, 0], &[0, 2, 0, 0, 1, 0]);
        let ends = ScoreEnds::of(&[SiteScores { told: &told, grouped: true }]).unwrap().unwrap();
        let area = auc(&told).unwrap();
        assert_eq!(ends.area_bound(&told), Some(area.quantisation_bound));
        let mut card = Scorecard::of(&told, None).unwrap();
        ends.widen(&told, &mut card);
        assert_eq!(card.auc, Some(area));
    }

    #[test]
    fn between_sites_whoever_may_have_been_on_the_other_side_is_uncertain() {
        // One site's only group, told at bin 2, may have been anywhere; the other tells bins.
        let grouped = histogram(&[0, 0, 3, 0], &[0; 4]);
        let plain = histogram(&[0; 4], &[1, 0, 0, 1]);
        let sites =
            [SiteScores { told: &grouped, grouped: true }, SiteScores { told: &plain, grouped: false }];
        let ends = ScoreEnds::of(&sites).unwrap().unwrap();
        assert_eq!(ends.area_bound(&pooled(&sites)), Some(1.0), "no pair is certain");
        assert_eq!((ends.best.positives(), ends.worst.positives()), (&[0, 0, 0, 3][..], &[3, 0, 0, 0][..]));
        let other = histogram(&[0; 3], &[1, 0, 0]);
        let sites = [sites[0], SiteScores { told: &other, grouped: false }];
        assert!(ScoreEnds::of(&sites).is_err());
    }
}
