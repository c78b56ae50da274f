//! Answers for cases, with hard routing: every block computes, for each row, only the path that row takes.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use crate::block::Block;
use crate::features::Features;
use crate::layer::Folded;
use crate::network::Network;

/// A network's answer for one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Probability of the methylated class.
    pub probability: f32,
    /// The logit behind it.
    pub logit: f32,
    /// For each residual block whether the fine-tuned copy was used. Empty without SpotTune.
    pub tuned_blocks: Vec<bool>,
}

impl Network<Folded> {
    /// Answers for one batch.
    pub(crate) fn predict(&self, input: Features) -> Vec<Prediction> {
        let rows = input.rows();
        let routes = self.routes(input.clone());
        let mut x = self.trunk.stem.forward(input);
        for (position, tuned) in self.trunk.blocks.iter().enumerate() {
            x = match &self.routing {
                None => tuned.forward(x),
                Some(routing) => {
                    let takes_tuned: Vec<bool> = routes.iter().map(|route| route[position]).collect();
                    forward_by_rows(x, &takes_tuned, tuned, &routing.frozen[position])
                }
            };
        }
        let logits = self.trunk.classify(x);
        let probabilities = floats(sigmoid(logits.clone()));
        let routes = routes.into_iter().chain(std::iter::repeat(Vec::new())).take(rows);
        let answers = floats(logits).into_iter().zip(probabilities).zip(routes);
        answers
            .map(|((logit, probability), tuned_blocks)| Prediction { probability, logit, tuned_blocks })
            .collect()
    }

    /// For each row and block whether the fine-tuned copy is preferred; no rows without routing.
    fn routes(&self, input: Features) -> Vec<Vec<bool>> {
        let Some(routing) = &self.routing else { return Vec::new() };
        let preferences = routing.policy.preferences(input);
        let blocks = preferences.dims()[1];
        let preferences = floats(preferences);
        preferences
            .chunks(blocks)
            .map(|row| row.iter().map(|preference| *preference > 0.0).collect())
            .collect()
    }
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
