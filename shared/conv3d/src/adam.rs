//! Adam with decoupled weight decay (arXiv:1711.05101), in place.

use rayon::prelude::*;

use crate::{InstructionSet, elementwise::multiversion};

/// Parameters that a thread takes at once: long enough that handing them over costs little.
const CHUNK_FLOATS: usize = 16 * 1024;

/// One step of the optimiser, the same for all parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// How far to go.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// What keeps the denominator from zero, added to the square root.
    pub epsilon: f32,
    /// Share of the parameters taken away in each step, times the learning rate.
    pub weight_decay: f32,
    /// Number of the step, the first is 1.
    pub step: u32,
}

/// The factors of a step, in the precision in which they are applied.
#[derive(Clone, Copy)]
struct Factors {
    beta_1: f32,
    beta_2: f32,
    correction_1: f32,
    correction_2: f32,
    epsilon: f32,
    kept: f32,
    learning_rate: f32,
}

impl AdamStep {
    /// Moves `values` against `gradient` and carries on the moments `first` and `second`, zeros before step
    /// 1.
    ///
    /// ```text
    /// first  = beta_1 * first  + (1 - beta_1) * gradient
    /// second = beta_2 * second + (1 - beta_2) * gradient^2
    /// values = (1 - learning_rate * weight_decay) * values
    ///          - learning_rate * (first / (1 - beta_1^step)) / (sqrt(second / (1 - beta_2^step)) + epsilon)
    /// ```
    ///
    /// # Panics
    /// When the slices differ in length, or the step is 0.
    pub fn apply(
        &self,
        instructions: InstructionSet,
        values: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let lengths = [gradient.len(), first.len(), second.len()];
        assert_eq!(lengths, [values.len(); 3], "gradient and moments need the length of the values");
        let factors = self.factors();
        let moments = first.par_chunks_mut(CHUNK_FLOATS).zip(second.par_chunks_mut(CHUNK_FLOATS));
        let chunks = values.par_chunks_mut(CHUNK_FLOATS).zip(gradient.par_chunks(CHUNK_FLOATS)).zip(moments);
        chunks.for_each(|((values, gradient), (first, second))| {
            step_chunk(instructions, factors, values, gradient, first, second);
        });
    }

    fn factors(&self) -> Factors {
        assert!(self.step > 0, "the first step is number 1");
        let step = i32::try_from(self.step).unwrap_or(i32::MAX);
        Factors {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            correction_1: 1.0 - self.beta_1.powi(step),
            correction_2: 1.0 - self.beta_2.powi(step),
            epsilon: self.epsilon,
            kept: (1.0 - self.learning_rate * f64::from(self.weight_decay)) as f32,
            learning_rate: self.learning_rate as f32,
        }
    }
}

multiversion! {
    fn step_chunk(
        factors: Factors,
        values: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let Factors { beta_1, beta_2, correction_1, correction_2, epsilon, kept, learning_rate } = factors;
        for (((value, gradient), first), second) in values.iter_mut().zip(gradient).zip(first).zip(second) {
            *first = *first * beta_1 + gradient * (1.0 - beta_1);
            *second = *second * beta_2 + gradient * gradient * (1.0 - beta_2);
            let delta = (*first / correction_1) / ((*second / correction_2).sqrt() + epsilon);
            *value = *value * kept - delta * learning_rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::trial;

    const STEP: AdamStep = AdamStep {
        learning_rate: 0.02,
        beta_1: 0.9,
        beta_2: 0.99,
        epsilon: 1e-5,
        weight_decay: 0.3,
        step: 1,
    };

    #[test]
    fn steps_are_those_of_the_formula() {
        let count = CHUNK_FLOATS * 2 + 5;
        let start: Vec<f32> = trial::numbers(count, 1).collect();
        let gradients: Vec<Vec<f32>> = (2..6).map(|seed| trial::numbers(count, seed).collect()).collect();
        let run = |instructions| {
            let (mut values, mut first, mut second) = (start.clone(), vec![0.0; count], vec![0.0; count]);
            for (step, gradient) in (1..).zip(&gradients) {
                AdamStep { step, ..STEP }.apply(instructions, &mut values, gradient, &mut first, &mut second);
            }
            values
        };
        trial::each_way(run, |values| {
            for index in 0..count {
                let expected =
                    reference(f64::from(start[index]), gradients.iter().map(|all| f64::from(all[index])));
                trial::assert_close(f64::from(values[index]), expected, 2e-6, "value");
            }
        });
    }

    fn reference(mut value: f64, gradients: impl Iterator<Item = f64>) -> f64 {
        let (beta_1, beta_2) = (f64::from(STEP.beta_1), f64::from(STEP.beta_2));
        let (mut first, mut second) = (0.0, 0.0);
        for (step, gradient) in (1..).zip(gradients) {
            first = beta_1 * first + (1.0 - beta_1) * gradient;
            second = beta_2 * second + (1.0 - beta_2) * gradient * gradient;
            let denominator = (second / (1.0 - beta_2.powi(step))).sqrt() + f64::from(STEP.epsilon);
            value -= STEP.learning_rate * f64::from(STEP.weight_decay) * value;
            value -= STEP.learning_rate * first / (1.0 - beta_1.powi(step)) / denominator;
        }
        value
    }

    #[test]
    fn without_gradient_only_the_decay_is_left() {
        let (mut values, mut first, mut second) = ([2.0, 0.0], [0.0; 2], [0.0; 2]);
        STEP.apply(InstructionSet::best(), &mut values, &[0.0; 2], &mut first, &mut second);
        assert_eq!(values, [2.0 * (1.0 - 0.02 * 0.3), 0.0]);
    }

    #[test]
    #[should_panic(expected = "the first step is number 1")]
    fn step_zero_is_refused() {
        AdamStep { step: 0, ..STEP }.apply(InstructionSet::best(), &mut [], &[], &mut [], &mut []);
    }
}
