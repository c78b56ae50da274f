//! Is the order of the patients better than chance? Tests of the area under the ROC curve against 0.5.
//!
//! Under the null hypothesis scores do not depend on class: every choice of which patients are the positive
//! ones is equally likely, given the bins. That is the permutation test ([`permutation_test`]); its normal
//! approximation is the one of Mann and Whitney ([`mann_whitney`]). Over several sites,
//! [`permutation_test_within_sites`] leaves each site its own share of positive patients.

mod exact;
mod mann_whitney;
mod within_sites;

use consilium_domain::Seed;
use serde::{Deserialize, Serialize};

use crate::{MAX_RESAMPLED, ScoreHistogram, Totals};

pub use mann_whitney::{MannWhitney, mann_whitney};
pub use within_sites::permutation_test_within_sites;

/// A test of an area against 0.5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChanceTest {
    /// Probability under chance of an area at least as far from 0.5, on either side.
    pub two_sided: f64,
    /// Probability under chance of an area at least as large.
    pub greater: f64,
    /// How the probabilities were found.
    pub method: ChanceMethod,
}

/// How the distribution under chance was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChanceMethod {
    /// All choices of the positive patients, counted.
    Exact,
    /// Random choices: p = (b + 1) / (m + 1) with b of m at least as extreme (Phipson and Smyth,
    /// doi:10.2202/1544-6115.1585), which keeps the error rate for any m.
    MonteCarlo {
        /// Random choices drawn, m.
        draws: u32,
    },
    /// Mann and Whitney's approximation: for more than [`MAX_RESAMPLED`] patients, where it cannot be told
    /// from the exact test.
    Normal,
}

/// The permutation test of the area against 0.5, exact for small samples, else by `draws` random
/// permutations.
///
/// `None` when a class is empty. Compared are integers, so ties with the observed area are ties.
pub fn permutation_test(histogram: &ScoreHistogram, draws: u32, seed: Seed) -> Option<ChanceTest> {
    let Totals { positives, negatives } = histogram.totals();
    if positives == 0 || negatives == 0 {
        return None;
    }
    let ranks = Ranks::of(histogram);
    if let Some((two_sided, greater)) = exact::probabilities(&ranks) {
        return Some(ChanceTest { two_sided, greater, method: ChanceMethod::Exact });
    }
    if positives + negatives > MAX_RESAMPLED {
        let approximation = mann_whitney(histogram)?;
        let (two_sided, greater) = (approximation.two_sided, approximation.greater);
        return Some(ChanceTest { two_sided, greater, method: ChanceMethod::Normal });
    }
    let (two_sided, greater) = ranks.sampled(draws, seed);
    Some(ChanceTest { two_sided, greater, method: ChanceMethod::MonteCarlo { draws } })
}

/// The patients by rank, and which class is drawn: the smaller one, as the other's deviation is its opposite.
struct Ranks {
    /// (twice the mid-rank counted from 0, patients) of each occupied bin.
    bins: Vec<(u64, u64)>,
    /// Patients of the class that is drawn.
    drawn: u64,
    /// Patients of both classes.
    patients: u64,
    /// Whether the drawn class is the positive one.
    positives_drawn: bool,
    /// Twice U minus its mean, for the positive class: positive for an area above 0.5.
    observed: i64,
}

impl Ranks {
    fn of(histogram: &ScoreHistogram) -> Self {
        let Totals { positives, negatives } = histogram.totals();
        let (positives, negatives) = (u64::from(positives), u64::from(negatives));
        let patients = positives + negatives;
        let (mut below, mut positive_ranks) = (0, 0);
        let mut bins = Vec::new();
        for (&p, &n) in histogram.positives().iter().zip(histogram.negatives()) {
            let here = u64::from(p) + u64::from(n);
            if here > 0 {
                bins.push((2 * below + here, here));
                positive_ranks += u64::from(p) * (2 * below + here);
                below += here;
            }
        }
        // At most 2 * 2^48.
        let observed = positive_ranks as i64 - (positives * patients) as i64;
        let positives_drawn = positives <= negatives;
        Self { bins, drawn: positives.min(negatives), patients, positives_drawn, observed }
    }

    /// The deviation of the positive class when the drawn class has this sum of doubled ranks.
    fn deviation(&self, sum: u64) -> i64 {
        let deviation = sum as i64 - (self.drawn * self.patients) as i64;
        if self.positives_drawn { deviation } else { -deviation }
    }

    fn sampled(&self, draws: u32, seed: Seed) -> (f64, f64) {
        let repeat = |&(rank, count): &(u64, u64)| std::iter::repeat_n(rank, count as usize);
        let mut ranks: Vec<u64> = self.bins.iter().flat_map(repeat).collect();
        let mut stream = seed.stream();
        let (mut as_far, mut as_large) = (0u32, 0u32);
        for _ in 0..draws {
            let mut sum = 0;
            // A shuffle as far as it is looked at. The order it starts from does not matter.
            for place in 0..self.drawn as usize {
                let from = place + stream.below(ranks.len() - place);
                ranks.swap(place, from);
                sum += ranks[place];
            }
            let deviation = self.deviation(sum);
            as_far += u32::from(deviation.abs() >= self.observed.abs());
            as_large += u32::from(deviation >= self.observed);
        }
        let p = |count: u32| (f64::from(count) + 1.0) / (f64::from(draws) + 1.0);
        (p(as_far), p(as_large))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    fn test(positives: &[u32], negatives: &[u32]) -> ChanceTest {
        permutation_test(&histogram(positives, negatives), 999, Seed::from_number(1)).unwrap()
    }

    /// Of the six ways to choose two of four ranked patients, one is perfect and one perfectly wrong.
    #[test]
    fn by_hand() {
        let best = test(&[0, 0, 1, 1], &[1, 1, 0, 0]);
        assert_eq!((best.greater, best.two_sided), (1.0 / 6.0, 2.0 / 6.0));
        let worst = test(&[1, 1, 0, 0], &[0, 0, 1, 1]);
        assert_eq!((worst.greater, worst.two_sided), (1.0, 2.0 / 6.0));
        assert_eq!(best.method, ChanceMethod::Exact);
    }

    #[test]
    fn the_larger_class_is_not_drawn_but_means_the_same() {
        // Three positives, one negative at the bottom: one way of four.
        let few = test(&[0, 1, 1, 1], &[1, 0, 0, 0]);
        assert_eq!((few.greater, few.two_sided), (0.25, 0.5));
    }

    #[test]
    fn patients_in_one_bin_are_no_evidence() {
        let tied = test(&[0, 9], &[0, 7]);
        assert_eq!((tied.greater, tied.two_sided), (1.0, 1.0));
    }

    #[test]
    fn an_empty_class_is_not_tested() {
        assert_eq!(permutation_test(&histogram(&[0, 0], &[1, 2]), 9, Seed::from_number(1)), None);
        assert_eq!(mann_whitney(&histogram(&[0, 0], &[1, 2])), None);
        assert_eq!(mann_whitney(&histogram(&[0, 3], &[0, 2])), None, "all tied");
    }

    /// The counted and the drawn distribution are one, for either class the smaller one.
    #[test]
    fn drawing_agrees_with_counting() {
        for (positives, negatives) in [([2, 1, 4, 5], [4, 3, 3, 1]), ([4, 6, 5, 4], [3, 3, 1, 1])] {
            let histogram = histogram(&positives, &negatives);
            let exact = permutation_test(&histogram, 0, Seed::from_number(1)).unwrap();
            assert_eq!(exact.method, ChanceMethod::Exact);
            let (two_sided, greater) = Ranks::of(&histogram).sampled(200_000, Seed::from_number(5));
            assert!((two_sided - exact.two_sided).abs() < 3e-3, "{two_sided} {exact:?}");
            assert!((greater - exact.greater).abs() < 3e-3, "{greater} {exact:?}");
        }
    }

    #[test]
    fn the_method_follows_the_size() {
        let evenly = |each: u32| test(&[each; 8], &[each; 8]);
        assert_eq!(evenly(2).method, ChanceMethod::Exact);
        assert_eq!(evenly(40).method, ChanceMethod::MonteCarlo { draws: 999 });
        assert_eq!(evenly(5_000).method, ChanceMethod::Normal);
    }
}
