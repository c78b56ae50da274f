//! Neighbouring bins told as one, so that no score is told of fewer than so many patients.
//!
//! This is microaggregation of one variable (Domingo-Ferrer and Mateo-Sanz, doi:10.1109/69.979982) on a histogram: groups of
//! neighbours, each told at its mean. The order of groups stays, so that within one histogram only patients of one group
//! become ties, and the bound of its area follows from the ties as it does for bins.

use super::ScoreHistogram;

impl ScoreHistogram {
    /// The same patients, each told at the mean bin of a group of at least `least`, of either class. Groups are made from the
    /// lowest score on; what is left over at the top belongs to the last. Of fewer patients than `least` there is one group,
    /// which [`ScoreHistogram::tells_at_least`] refuses.
    ///
    /// What is told of such a histogram again is the same.
    #[must_use]
    pub fn told_together(&self, least: u32) -> Self {
        let mut told = Self { positives: vec![0; self.bins()], negatives: vec![0; self.bins()] };
        for group in self.groups(least) {
            told.positives[group.mean] += group.positives;
            told.negatives[group.mean] += group.negatives;
        }
        told
    }

    /// Whether every score that is told is of at least `least` patients, of either class.
    pub fn tells_at_least(&self, least: u32) -> bool {
        let together = self.positives.iter().zip(&self.negatives).map(|(p, n)| p + n);
        together.into_iter().all(|patients| patients == 0 || patients >= least)
    }

    /// Every patient at the lowest bin, and at the highest, that a histogram may have had it in which was told as this one:
    /// strictly between the groups below and above, for a group lies between their means. Without a group beside it that is
    /// an end of the grid.
    pub(crate) fn before_telling(&self) -> [Self; 2] {
        let empty = || Self { positives: vec![0; self.bins()], negatives: vec![0; self.bins()] };
        let (mut lowest, mut highest) = (empty(), empty());
        let occupied: Vec<usize> =
            (0..self.bins()).filter(|&bin| self.positives[bin] + self.negatives[bin] > 0).collect();
        for (place, &bin) in occupied.iter().enumerate() {
            let low = place.checked_sub(1).map_or(0, |below| occupied[below] + 1);
            let high = occupied.get(place + 1).map_or(self.bins() - 1, |above| above - 1);
            for (moved, to) in [(&mut lowest, low), (&mut highest, high)] {
                moved.positives[to] += self.positives[bin];
                moved.negatives[to] += self.negatives[bin];
            }
        }
        [lowest, highest]
    }

    fn groups(&self, least: u32) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut open: Option<Group> = None;
        for (bin, (&positives, &negatives)) in self.positives.iter().zip(&self.negatives).enumerate() {
            if positives + negatives == 0 {
                continue;
            }
            let mut group = open.take().unwrap_or_default();
            group.add(bin, positives, negatives);
            match group.positives + group.negatives >= least {
                true => groups.push(group),
                false => open = Some(group),
            }
        }
        if let Some(rest) = open {
            match groups.last_mut() {
                Some(last) => last.join(&rest),
                None => groups.push(rest),
            }
        }
        groups
    }
}

/// Neighbours told together.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    positives: u32,
    negatives: u32,
    /// The sum of the patients' bins.
    bins: u64,
    /// Their mean, to the nearest bin.
    mean: usize,
}

impl Group {
    fn add(&mut self, bin: usize, positives: u32, negatives: u32) {
        self.join(&Self {
            positives,
            negatives,
            bins: bin as u64 * u64::from(positives + negatives),
            mean: bin,
        });
    }

    fn join(&mut self, other: &Self) {
        self.positives += other.positives;
        self.negatives += other.negatives;
        self.bins += other.bins;
        let patients = u64::from(self.positives + self.negatives);
        self.mean = ((2 * self.bins + patients) / (2 * patients)) as usize;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    #[test]
    fn lone_patients_are_told_with_their_neighbours() {
        // Groups of three: bins 0 and 2 (mean 1.33), bin 3 alone, bins 4 and 7 left over for the last group (mean 4.5).
        let told = histogram(&[1, 0, 0, 3, 0, 0, 0, 1], &[0, 0, 2, 0, 1, 0, 0, 0]).told_together(3);
        assert_eq!(told.positives(), [0, 1, 0, 0, 4, 0, 0, 0]);
        assert_eq!(told.negatives(), [0, 2, 0, 0, 1, 0, 0, 0]);
        assert!(told.tells_at_least(3) && !told.tells_at_least(4));
    }

    #[test]
    fn one_is_no_grouping_and_too_few_are_seen() {
        let lone = histogram(&[1, 0, 0], &[0, 0, 1]);
        assert_eq!((lone.told_together(0), lone.told_together(1)), (lone.clone(), lone.clone()));
        let few = lone.told_together(3);
        assert!(!few.tells_at_least(3));
        assert_eq!((few.positives()[1], few.negatives()[1]), (1, 1));
        let nobody = ScoreHistogram::new(4).unwrap();
        assert_eq!(nobody.told_together(3), nobody);
        assert!(nobody.tells_at_least(3));
    }

    proptest! {
        #[test]
        fn nobody_is_lost_no_score_is_of_few_and_telling_again_changes_nothing(
            counts in prop::collection::vec((0u32..4, 0u32..4), 2..=64),
            least in 1u32..8,
        ) {
            let (positives, negatives): (Vec<u32>, Vec<u32>) = counts.into_iter().unzip();
            let before = ScoreHistogram::from_counts(positives, negatives).unwrap();
            let told = before.told_together(least);
            let totals = before.totals();
            prop_assert_eq!(told.totals(), totals);
            prop_assert!(told.tells_at_least(least) || totals.positives + totals.negatives < least);
            prop_assert_eq!(told.told_together(least), told.clone());
            // Where each patient was lies between the ends, counted from below: no more patients are below a bin at the
            // highest ends than there were, and no fewer at the lowest.
            let [lowest, highest] = told.before_telling();
            let below = |histogram: &ScoreHistogram, bin: usize| {
                histogram.positives[..bin].iter().chain(&histogram.negatives[..bin]).sum::<u32>()
            };
            for bin in 0..=before.bins() {
                prop_assert!(below(&highest, bin) <= below(&before, bin));
                prop_assert!(below(&before, bin) <= below(&lowest, bin));
            }
        }
    }
}
