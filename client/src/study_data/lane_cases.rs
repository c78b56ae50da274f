//! The patients of one work order as the network sees them: read from the cache, changed at random in training.

use consilium_data::{Augmentation, InputCache, undersample};
use consilium_domain::{ClassBalance, ClassCounts, Label, Seed, Training};
use consilium_model::{InputError, Inputs, TrainingCases};

use super::Input;

/// The inputs of some patients.
pub(crate) struct LaneInputs<'a> {
    pub(crate) inputs: Vec<&'a Input>,
    pub(crate) shape: [usize; 3],
    pub(crate) cache: &'a InputCache,
}

impl Inputs for LaneInputs<'_> {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError> {
        let filled = self.cache.fill(&self.inputs[index].handle, out);
        filled.map_err(|error| InputError(error.to_string()))
    }
}

/// The patients of one training: changed anew in every epoch, their classes balanced as the study says.
pub(crate) struct LaneCases<'a> {
    inputs: LaneInputs<'a>,
    labels: Vec<Label>,
    augmentation: Augmentation,
    undersampled: bool,
    /// What the loss of a methylated case is multiplied by.
    positive_weight: f32,
    seed: Seed,
}

impl<'a> LaneCases<'a> {
    /// `classes` are the patients of all sites, where the study weights classes by them.
    pub(crate) fn new(
        inputs: LaneInputs<'a>,
        recipe: &Training,
        classes: Option<ClassCounts>,
        seed: Seed,
    ) -> Self {
        let labels: Vec<Label> = inputs.inputs.iter().map(|input| input.label).collect();
        let both = Label::ALL.iter().all(|label| labels.contains(label));
        let undersampled = recipe.class_balance == ClassBalance::Undersample;
        if undersampled && !both {
            tracing::warn!("a class has no patient to train on: all patients of the other are used");
        }
        Self {
            labels,
            inputs,
            augmentation: Augmentation::new(recipe.augmentation.clone()),
            undersampled: undersampled && both,
            positive_weight: classes.map_or(1.0, positive_weight),
            seed,
        }
    }

    /// Only the first `count` patients: for a rehearsal.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.inputs.inputs.truncate(count);
        self.labels.truncate(count);
    }
}

impl Inputs for LaneCases<'_> {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.inputs.shape
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError> {
        self.inputs.read(index, out)
    }
}

impl TrainingCases for LaneCases<'_> {
    fn label(&self, index: usize) -> Label {
        self.labels[index]
    }

    fn sample(&self, index: usize, epoch: u16, out: &mut [f32]) -> Result<(), InputError> {
        self.read(index, out)?;
        self.augmentation.apply(out, self.inputs.shape, &self.seed, index, epoch.into());
        Ok(())
    }

    fn chosen(&self, epoch: u16) -> Vec<usize> {
        if self.undersampled {
            undersample(&self.labels, &self.seed, epoch.into())
        } else {
            (0..self.labels.len()).collect()
        }
    }

    fn weight(&self, index: usize) -> f32 {
        if self.labels[index] == Label::Methylated { self.positive_weight } else { 1.0 }
    }
}

/// Negatives a positive, over all sites: both classes then weigh the same in the sum of losses, as with `pos_weight` in
/// PyTorch's `BCEWithLogitsLoss`. One where a class is missing.
fn positive_weight(classes: ClassCounts) -> f32 {
    if classes.methylated == 0 || classes.unmethylated == 0 {
        return 1.0;
    }
    (f64::from(classes.unmethylated) / f64::from(classes.methylated)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positives_weigh_as_much_as_there_are_negatives_for_each() {
        let weight = |methylated, unmethylated| positive_weight(ClassCounts { methylated, unmethylated });
        assert_eq!([weight(4, 12), weight(10, 5), weight(0, 5), weight(5, 0)], [3.0, 0.5, 1.0, 1.0]);
    }
}
