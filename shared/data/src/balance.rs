//! An epoch in which both classes have equally many cases.
//!
//! Not the weighted loss: that needs the federation's counts and is the network's business.

use consilium_domain::{Label, Seed};

/// The cases that an epoch uses, in rising order: all of the smaller class, and equally many of the larger one,
/// drawn anew for each `epoch`.
///
/// Empty where a class has no case: no epoch over such cases is balanced, and the caller must say so.
pub fn undersample(labels: &[Label], seed: &Seed, epoch: u64) -> Vec<usize> {
    let of = |label| (0..labels.len()).filter(|&case| labels[case] == label).collect();
    let mut classes: [Vec<usize>; 2] = Label::ALL.map(of);
    let size = classes[0].len().min(classes[1].len());
    let mut stream = seed.derive(&format!("undersample/{epoch}")).stream();
    for class in classes.iter_mut().filter(|class| class.len() > size) {
        stream.shuffle(class);
        class.truncate(size);
    }
    let mut used = classes.concat();
    used.sort_unstable();
    used
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn labels(methylated: &[bool]) -> Vec<Label> {
        methylated.iter().map(|&yes| Label::ALL[usize::from(yes)]).collect()
    }

    proptest! {
        #[test]
        fn classes_are_equally_many_and_the_smaller_is_whole(
            methylated in prop::collection::vec(any::<bool>(), 0..60),
            number: u64,
            epoch: u64,
        ) {
            let labels = labels(&methylated);
            let used = undersample(&labels, &Seed::from_number(number), epoch);
            prop_assert!(used.is_sorted_by(|a, b| a < b) && used.iter().all(|&case| case < labels.len()));
            let positive = methylated.iter().filter(|&&yes| yes).count();
            let smaller = positive.min(labels.len() - positive);
            for label in Label::ALL {
                prop_assert_eq!(used.iter().filter(|&&case| labels[case] == label).count(), smaller);
            }
        }
    }

    #[test]
    fn every_epoch_draws_anew_until_all_cases_were_used() {
        let labels = labels(&[true, false, false, false, false, false, true, false, false]);
        let seed = Seed::from_number(5);
        assert_eq!(undersample(&labels, &seed, 3), undersample(&labels, &seed, 3));
        let epochs: Vec<Vec<usize>> = (0..40).map(|epoch| undersample(&labels, &seed, epoch)).collect();
        assert!(epochs.iter().collect::<BTreeSet<_>>().len() > 10);
        let seen: BTreeSet<usize> = epochs.concat().into_iter().collect();
        assert_eq!(seen, (0..labels.len()).collect());
    }

    #[test]
    fn one_class_alone_cannot_be_balanced() {
        assert_eq!(undersample(&labels(&[true, true]), &Seed::from_number(1), 0), [0; 0]);
    }
}
