//! What a site trains on, and in which order.

use consilium_domain::{Label, RandomStream};

/// The cases a site trains on.
pub trait TrainingCases {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of case `index`.
    fn label(&self, index: usize) -> Label;

    /// Depth, height and width of every input, in voxels.
    fn shape(&self) -> [usize; 3];

    /// Writes the input of case `index` as epoch `epoch` (from 0) sees it: augmentation happens here.
    ///
    /// `out` has the voxels of [`shape`](Self::shape), width fastest. To be reproducible, the result must depend on
    /// the arguments only.
    fn fill(&self, index: usize, epoch: u16, out: &mut [f32]);
}

/// Batches of `size` for one epoch over `count` cases, in random order.
///
/// A last batch of a single case is merged into the one before: batch statistics of one case say little.
pub(crate) fn shuffled(count: usize, size: usize, stream: &mut RandomStream) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    stream.shuffle(&mut order);
    let mut batches: Vec<Vec<usize>> = order.chunks(size.max(1)).map(<[usize]>::to_vec).collect();
    if size > 1 && batches.len() > 1 && batches.last().is_some_and(|last| last.len() == 1) {
        let alone = batches.pop().into_iter().flatten();
        if let Some(last) = batches.last_mut() {
            last.extend(alone);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use consilium_domain::Seed;

    use super::*;

    #[test]
    fn every_case_is_seen_once_and_none_alone() {
        for count in 1..20 {
            for size in 2..7 {
                let batches = shuffled(count, size, &mut Seed::from_number(1).stream());
                let mut seen: Vec<usize> = batches.concat();
                seen.sort_unstable();
                assert_eq!(seen, (0..count).collect::<Vec<_>>());
                assert!(count == 1 || batches.iter().all(|batch| batch.len() > 1));
                assert!(batches.iter().all(|batch| batch.len() <= size + 1));
            }
        }
    }
}
