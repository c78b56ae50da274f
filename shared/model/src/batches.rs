//! What a site trains on, and in which order.

use consilium_domain::{Label, RandomStream, Seed, Training};

use crate::inputs::{InputError, Inputs};

/// The cases a site trains on.
pub trait TrainingCases: Inputs {
    /// The label of case `index`.
    fn label(&self, index: usize) -> Label;

    /// Writes the input of case `index` as epoch `epoch` (from 0) sees it: augmentation happens here.
    ///
    /// To be reproducible, the result must depend on the arguments only.
    ///
    /// # Errors
    /// When the volume is not to be had.
    fn sample(&self, index: usize, epoch: u16, out: &mut [f32]) -> Result<(), InputError> {
        let _ = epoch;
        self.read(index, out)
    }

    /// The cases that epoch `epoch` sees, at least one: all, unless classes are balanced by leaving some out.
    fn chosen(&self, epoch: u16) -> Vec<usize> {
        let _ = epoch;
        (0..self.len()).collect()
    }

    /// What the loss of case `index` is multiplied by.
    fn weight(&self, index: usize) -> f32 {
        let _ = index;
        1.0
    }
}

/// One optimiser step to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedStep {
    /// Epoch, from 0.
    pub(crate) epoch: u16,
    /// Step of the epoch, from 1.
    pub(crate) step: u32,
    /// Steps of the epoch.
    pub(crate) steps: u32,
    /// The cases.
    pub(crate) batch: Vec<usize>,
}

/// Every step of a training, in order.
pub(crate) fn plan(cases: &dyn TrainingCases, recipe: &Training, seed: Seed) -> Vec<PlannedStep> {
    (0..recipe.local_epochs)
        .flat_map(|epoch| {
            let mut order = seed.derive(&format!("batches/{epoch}")).stream();
            let batches = shuffled(cases.chosen(epoch), recipe.batch_size.into(), &mut order);
            let steps = batches.len() as u32;
            (1..).zip(batches).map(move |(step, batch)| PlannedStep { epoch, step, steps, batch })
        })
        .collect()
}

/// Batches of `size` for one epoch over the cases `order`, in random order.
///
/// A last batch of a single case is merged into the one before: batch statistics of one case say little.
pub(crate) fn shuffled(mut order: Vec<usize>, size: usize, stream: &mut RandomStream) -> Vec<Vec<usize>> {
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
    use consilium_domain::NormMode;

    use super::*;

    #[test]
    fn every_case_is_seen_once_and_none_alone() {
        for count in 1..20 {
            for size in 2..7 {
                let batches = shuffled((0..count).collect(), size, &mut Seed::from_number(1).stream());
                let mut seen: Vec<usize> = batches.concat();
                seen.sort_unstable();
                assert_eq!(seen, (0..count).collect::<Vec<_>>());
                assert!(count == 1 || batches.iter().all(|batch| batch.len() > 1));
                assert!(batches.iter().all(|batch| batch.len() <= size + 1));
            }
        }
    }

    /// Of six cases each epoch sees two.
    struct Few;

    impl Inputs for Few {
        fn len(&self) -> usize {
            6
        }

        fn shape(&self) -> [usize; 3] {
            [1; 3]
        }

        fn read(&self, _index: usize, _out: &mut [f32]) -> Result<(), InputError> {
            Ok(())
        }
    }

    impl TrainingCases for Few {
        fn label(&self, index: usize) -> Label {
            Label::ALL[index % 2]
        }

        fn chosen(&self, epoch: u16) -> Vec<usize> {
            vec![usize::from(epoch), 5]
        }
    }

    #[test]
    fn an_epoch_holds_the_cases_that_were_chosen_for_it() {
        let recipe = Training { local_epochs: 3, batch_size: 1, ..crate::sample::recipe(NormMode::Fixed) };
        let plan = plan(&Few, &recipe, Seed::from_number(1));
        let numbers: Vec<_> = plan.iter().map(|step| (step.epoch, step.step, step.steps)).collect();
        assert_eq!(numbers, [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2)]);
        for (epoch, steps) in (0..3).zip(plan.chunks(2)) {
            let mut seen = [steps[0].batch[0], steps[1].batch[0]];
            seen.sort_unstable();
            assert_eq!(seen, [epoch, 5]);
        }
    }
}
