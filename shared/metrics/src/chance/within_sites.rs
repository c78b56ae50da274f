//! The permutation test that site effects cannot fool.

use consilium_domain::Seed;

use super::{ChanceMethod, ChanceTest};
use crate::{MAX_RESAMPLED, ScoreHistogram};

/// The permutation test of the pooled area with classes exchanged *within* each site only.
///
/// Where sites differ in the share of positive patients and in their scores, a model that merely recognises
/// the site has a pooled area other than 0.5. Under this test's null hypothesis it does: scores may depend on
/// the site, but within a site not on the class (stratified permutation; Good, Permutation, Parametric and
/// Bootstrap Tests of Hypotheses, third edition, Springer 2005). The mean area under chance is then not 0.5,
/// so two-sided is twice the smaller tail.
///
/// `None` without a site that has both classes, for more than [`MAX_RESAMPLED`] patients, and for histograms on
/// different grids.
pub fn permutation_test_within_sites(
    sites: &[&ScoreHistogram],
    draws: u32,
    seed: Seed,
) -> Option<ChanceTest> {
    let bins = sites.first()?.bins();
    let patients: u64 = sites.iter().map(|site| u64::from(patients(site))).sum();
    let told = sites.iter().any(|site| site.totals().positives > 0 && site.totals().negatives > 0);
    if !told || patients > u64::from(MAX_RESAMPLED) || sites.iter().any(|site| site.bins() != bins) {
        return None;
    }
    let ranks = pooled_ranks(sites, bins);
    let mut dealt: Vec<Dealt> = sites.iter().map(|site| Dealt::of(site, &ranks)).collect();
    let observed: u64 = sites.iter().map(|site| rank_sum(site.positives(), &ranks)).sum();
    let mut stream = seed.stream();
    let (mut as_large, mut as_small) = (0u32, 0u32);
    for _ in 0..draws {
        let sum: u64 = dealt.iter_mut().map(|site| site.draw(&mut stream)).sum();
        as_large += u32::from(sum >= observed);
        as_small += u32::from(sum <= observed);
    }
    let p = |count: u32| (f64::from(count) + 1.0) / (f64::from(draws) + 1.0);
    let two_sided = (2.0 * p(as_large.min(as_small))).min(1.0);
    Some(ChanceTest { two_sided, greater: p(as_large), method: ChanceMethod::MonteCarlo { draws } })
}

fn patients(site: &ScoreHistogram) -> u32 {
    site.totals().positives + site.totals().negatives
}

/// Twice the mid-rank of each bin among all patients. With all classes' sizes fixed, the pooled area rises
/// with the sum of the positive patients' ranks and with nothing else.
fn pooled_ranks(sites: &[&ScoreHistogram], bins: usize) -> Vec<u64> {
    let mut below = 0;
    let rank = |bin: usize| {
        let here: u64 = sites
            .iter()
            .map(|site| u64::from(site.positives()[bin]) + u64::from(site.negatives()[bin]))
            .sum();
        let rank = 2 * below + here;
        below += here;
        rank
    };
    (0..bins).map(rank).collect()
}

fn rank_sum(counts: &[u32], ranks: &[u64]) -> u64 {
    counts.iter().zip(ranks).map(|(&count, rank)| u64::from(count) * rank).sum()
}

/// The ranks of a site's patients, of whom some are positive.
struct Dealt {
    ranks: Vec<u64>,
    positives: usize,
}

impl Dealt {
    fn of(site: &ScoreHistogram, ranks: &[u64]) -> Self {
        let counts = site.positives().iter().zip(site.negatives());
        let patients =
            counts.zip(ranks).flat_map(|((&p, &n), &rank)| std::iter::repeat_n(rank, (p + n) as usize));
        Self { ranks: patients.collect(), positives: site.totals().positives as usize }
    }

    /// Who is positive by chance, and the sum of their ranks.
    fn draw(&mut self, stream: &mut consilium_domain::RandomStream) -> u64 {
        (0..self.positives)
            .map(|place| {
                let from = place + stream.below(self.ranks.len() - place);
                self.ranks.swap(place, from);
                self.ranks[place]
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permutation_test;

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    /// Everything of one site scores high and is mostly positive, of the other low and mostly negative.
    #[test]
    fn recognising_the_site_is_no_evidence() {
        let (high, low) = (histogram(&[0, 40], &[0, 10]), histogram(&[10, 0], &[40, 0]));
        let mut pooled = high.clone();
        pooled.merge(&low).unwrap();
        assert!(permutation_test(&pooled, 999, Seed::from_number(1)).unwrap().two_sided < 0.01);
        let within = permutation_test_within_sites(&[&high, &low], 999, Seed::from_number(1)).unwrap();
        assert_eq!((within.two_sided, within.greater), (1.0, 1.0));
    }

    #[test]
    fn a_single_site_is_tested_as_ever() {
        let site = histogram(&[2, 3, 6, 9], &[5, 6, 4, 2]);
        let exact = permutation_test(&site, 0, Seed::from_number(1)).unwrap();
        let within = permutation_test_within_sites(&[&site], 100_000, Seed::from_number(2)).unwrap();
        assert!((within.greater - exact.greater).abs() < 2e-3, "{within:?} {exact:?}");
    }

    #[test]
    fn nothing_to_exchange() {
        let (positive, negative) = (histogram(&[0, 5], &[0, 0]), histogram(&[0, 0], &[5, 0]));
        let test = |sites: &[&ScoreHistogram]| permutation_test_within_sites(sites, 9, Seed::from_number(1));
        assert_eq!(test(&[&positive, &negative]), None);
        assert_eq!(test(&[]), None);
        let other_grid = histogram(&[1, 1, 1], &[1, 1, 1]);
        assert_eq!(test(&[&other_grid, &positive]), None);
    }
}
