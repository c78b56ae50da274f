//! Answers for cases, with hard routing: every block computes, for each row, only the path that row takes.

use std::num::NonZeroU16;

use burn::tensor::Tensor;
use consilium_domain::Seed;

use crate::block::Block;
use crate::features::Features;
use crate::gumbel::noise_differences;
use crate::layer::Folded;
use crate::network::Network;

/// How a network with a policy routes at evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routes {
    /// Every block takes the path that its policy prefers.
    #[default]
    Preferred,
    /// The mean probability over routings drawn from the policy's distribution.
    Sampled {
        /// How many, at least one.
        count: NonZeroU16,
        /// What they are drawn from; a case's routings depend on its position, not on the batch.
        seed: Seed,
    },
}

/// A network's answer for one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Probability of the methylated class.
    pub probability: f32,
    /// The logit of that probability.
    pub logit: f32,
    /// For each residual block the share of routings through its fine-tuned copy: 0 or 1 unless routings were sampled.
    /// Empty without SpotTune.
    pub tuned: Vec<f32>,
}

/// For each row and block whether the fine-tuned copy is used; no rows without routing.
type Decisions = Vec<Vec<bool>>;

impl Network<Folded> {
    /// Answers for one batch, whose first case has the number `first`.
    pub(crate) fn predict(&self, input: Features, first: usize, routes: Routes) -> Vec<Prediction> {
        let rows = input.rows();
        let drawn: Vec<Decisions> = match &self.routing {
            None => vec![Vec::new()],
            Some(routing) => {
                let preferences = routing.policy.preferences(input.clone());
                let blocks = preferences.dims()[1];
                let preferences = floats(preferences);
                let preferences: Vec<&[f32]> = preferences.chunks(blocks).collect();
                decisions(&preferences, first, routes)
            }
        };
        let logits: Vec<Vec<f32>> = drawn.iter().map(|routes| self.logits(input.clone(), routes)).collect();
        (0..rows).map(|row| answer(row, &logits, &drawn)).collect()
    }

    /// The logits of one routing.
    fn logits(&self, input: Features, routes: &Decisions) -> Vec<f32> {
        let mut x = self.trunk.entrance(input);
        for (position, tuned) in self.trunk.blocks.iter().enumerate() {
            x = match &self.routing {
                None => tuned.forward(x),
                Some(routing) => {
                    let takes_tuned: Vec<bool> = routes.iter().map(|route| route[position]).collect();
                    forward_by_rows(x, &takes_tuned, tuned, &routing.frozen[position])
                }
            };
        }
        floats(self.trunk.classify(x))
    }
}

/// One routing for each sample, from the policy's preferences `[row][block]`: logit of the fine-tuned copy minus that
/// of the frozen one.
fn decisions(preferences: &[&[f32]], first: usize, routes: Routes) -> Vec<Decisions> {
    match routes {
        Routes::Preferred => {
            let prefers = |row: &&[f32]| row.iter().map(|preference| *preference > 0.0).collect();
            vec![preferences.iter().map(prefers).collect()]
        }
        Routes::Sampled { count, seed } => (0..count.get())
            .map(|sample| {
                let draw = |(row, preferences): (usize, &&[f32])| {
                    let mut stream = seed.derive(&format!("routes/{}/{sample}", first + row)).stream();
                    let noise = noise_differences(&mut stream, preferences.len());
                    preferences
                        .iter()
                        .zip(noise)
                        .map(|(preference, noise)| preference + noise > 0.0)
                        .collect()
                };
                preferences.iter().enumerate().map(draw).collect()
            })
            .collect(),
    }
}

/// The mean over routings. Both probabilities are averaged, so that none is rounded to one before its logarithm.
fn answer(row: usize, logits: &[Vec<f32>], routes: &[Decisions]) -> Prediction {
    let tuned =
        |block: usize| routes.iter().filter(|routes| routes[row][block]).count() as f32 / routes.len() as f32;
    let blocks = routes[0].get(row).map_or(0, Vec::len);
    let tuned = (0..blocks).map(tuned).collect();
    if let [only] = logits {
        let logit = only[row];
        return Prediction { probability: logistic(logit.into()) as f32, logit, tuned };
    }
    let mean = |sign: f64| {
        logits.iter().map(|logits| logistic(sign * f64::from(logits[row]))).sum::<f64>() / logits.len() as f64
    };
    let (methylated, unmethylated) = (mean(1.0), mean(-1.0));
    Prediction { probability: methylated as f32, logit: (methylated.ln() - unmethylated.ln()) as f32, tuned }
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Sends each row of `input` through one of two blocks.
pub(crate) fn forward_by_rows(
    input: Features,
    takes_tuned: &[bool],
    tuned: &Block<Folded>,
    frozen: &Block<Folded>,
) -> Features {
    let (to_tuned, to_frozen): (Vec<usize>, Vec<usize>) =
        (0..takes_tuned.len()).partition(|&row| takes_tuned[row]);
    if to_frozen.is_empty() {
        return tuned.forward(input);
    }
    if to_tuned.is_empty() {
        return frozen.forward(input);
    }
    let through_tuned = tuned.forward(input.clone().select(&to_tuned));
    let through_frozen = frozen.forward(input.select(&to_frozen));
    let mut place = vec![0; takes_tuned.len()];
    for (position, row) in to_tuned.into_iter().chain(to_frozen).enumerate() {
        place[row] = position;
    }
    through_tuned.append(through_frozen).select(&place)
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("networks compute in 32-bit floats")
}
