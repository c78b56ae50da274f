//! One network under measurement: its steps, its evaluations, its gradients.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use consilium_domain::Seed;
use consilium_domain::network::TensorSpec;
use consilium_model::{Classifier, ComputeDevice, Inputs as _, Prediction, Routes};
use consilium_weights::Weights;
use serde_json::{Value, json};

use crate::Failure;
use crate::cases::Cases;
use crate::plan::Plan;
use crate::stepping::Stepping;

/// A network at rest, or in the middle of its training.
enum Network {
    Resting(Box<Classifier>),
    Training(Stepping),
}

/// A network with its cases.
pub(crate) struct Session {
    plan: Plan,
    cases: Arc<Cases>,
    /// `None` after a training that failed.
    network: Option<Network>,
}

impl Session {
    /// Builds the network from the files of `prepare`.
    pub(crate) fn new(plan: Plan) -> Result<Self, Failure> {
        let cases = Arc::new(Cases::read(&plan)?);
        let base = if plan.arm.is_pretrained() {
            Some(read(&plan, "base", plan.spec.backbone_tensors())?)
        } else {
            None
        };
        let architecture = plan.architecture();
        let trainable = read(&plan, "trainable", architecture.trainable_tensors())?;
        let device = ComputeDevice::cpu().with_checkpointing(plan.checkpointing);
        let classifier = Classifier::new(architecture, base.as_ref(), &trainable, &device)?;
        Ok(Self { plan, cases, network: Some(Network::Resting(Box::new(classifier))) })
    }

    /// Takes one training step; its seconds.
    pub(crate) fn step(&mut self) -> Result<f64, Failure> {
        let stepping = match self.network.take().ok_or(FAILED)? {
            Network::Resting(classifier) => {
                Stepping::begin(classifier, self.cases.clone(), self.plan.recipe.clone())
            }
            Network::Training(stepping) => stepping,
        };
        match stepping.step() {
            Some(seconds) => {
                self.network = Some(Network::Training(stepping));
                Ok(seconds)
            }
            None => Err(stepping.end()?.1.map_or_else(|| FAILED.into(), Into::into)),
        }
    }

    /// Answers for the batch: seconds, logits, and the share of blocks that took their fine-tuned path.
    pub(crate) fn evaluate(&mut self) -> Result<Value, Failure> {
        let cases = self.cases.clone();
        let classifier = self.rest()?;
        let start = Instant::now();
        let answers = classifier.predict(&*cases, cases.len(), Routes::Preferred)?;
        let seconds = start.elapsed().as_secs_f64();
        let logits: Vec<f32> = answers.iter().map(|answer| answer.logit).collect();
        Ok(json!({ "seconds": seconds, "logits": logits, "tuned_share": tuned_share(&answers) }))
    }

    /// Writes the gradients of the batch to `file`.
    pub(crate) fn gradients(&mut self, file: &Path) -> Result<Value, Failure> {
        let batch: Vec<usize> = (0..self.cases.len()).collect();
        let (cases, recipe) = (self.cases.clone(), self.plan.recipe.clone());
        let found = self.rest()?.loss_and_gradients(&*cases, &batch, &recipe, Seed::from_number(2))?;
        std::fs::write(file, found.gradients.to_safetensors())?;
        Ok(json!({ "loss": found.loss, "noise": found.noise }))
    }

    /// The network, out of training.
    fn rest(&mut self) -> Result<&mut Classifier, Failure> {
        let classifier = match self.network.take().ok_or(FAILED)? {
            Network::Resting(classifier) => classifier,
            Network::Training(stepping) => stepping.end()?.0,
        };
        match self.network.insert(Network::Resting(classifier)) {
            Network::Resting(classifier) => Ok(classifier),
            Network::Training(_) => unreachable!("it was put to rest above"),
        }
    }
}

const FAILED: &str = "an earlier training step failed: build again";

fn read(plan: &Plan, part: &str, tensors: Vec<TensorSpec>) -> Result<Weights, Failure> {
    Ok(Weights::from_safetensors(&std::fs::read(plan.file(part))?, tensors.into())?)
}

fn tuned_share(answers: &[Prediction]) -> Option<f64> {
    let shares: Vec<f64> =
        answers.iter().flat_map(|answer| answer.tuned.iter().map(|&share| share.into())).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}
