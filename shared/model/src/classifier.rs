//! The crate's surface: a network of one arm, from weights to weights.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{Precision, Seed, Training};
use consilium_weights::Weights;

use crate::ModelError;
use crate::architecture::Architecture;
use crate::batches::TrainingCases;
use crate::between_epochs::{BetweenEpochs, TrainingState};
use crate::device::ComputeDevice;
use crate::inputs::Inputs;
use crate::layer::Trained;
use crate::network::Network;
use crate::parameters::Writer;
use crate::pool::in_pool;
use crate::prediction::{Prediction, Routes};
use crate::read_ahead::read_ahead;
use crate::training::{Course, TrainingProgress, TrainingSummary, loss_and_gradients, train};
use crate::volumes::volumes;

/// A network of one arm that predicts MGMT methylation from a volume.
pub struct Classifier {
    network: Network<Trained>,
    manifest: Arc<[TensorSpec]>,
    device: ComputeDevice,
    /// What the device failed at in a training, which leaves the network undefined.
    failed: Option<ModelError>,
}

/// What one batch says about the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct LossAndGradients {
    /// Mean loss a case.
    pub loss: f64,
    /// In the order and shapes of [`Classifier::trainable`], zero for running statistics.
    pub gradients: Weights,
    /// Gumbel noise of the fine-tuned choice minus that of the frozen one, `[cases][blocks]`.
    pub noise: Vec<f32>,
}

/// Gives the memory that the kernels keep from step to step back to the system, however the work ends.
struct ReleasedAtTheEnd;

impl Drop for ReleasedAtTheEnd {
    fn drop(&mut self) {
        consilium_conv3d::release();
    }
}

impl Classifier {
    /// Builds the network.
    ///
    /// `base` holds the pretrained backbone (`spec.backbone_tensors()`), of which the pretrained arms freeze what
    /// they do not train; the arm `random` does not read it. `trainable` holds `architecture.trainable_tensors()`.
    ///
    /// # Errors
    /// When a pretrained arm has no `base`, or weights are not those of the network.
    pub fn new(
        architecture: Architecture,
        base: Option<&Weights>,
        trainable: &Weights,
        device: &ComputeDevice,
    ) -> Result<Self, ModelError> {
        let network = device.guard(|| Network::read(architecture, base, trainable, device))?;
        let manifest = trainable.manifest().clone();
        Ok(Self { network, manifest, device: device.clone(), failed: None })
    }

    /// The trainable weights with their running statistics, in the order of `architecture.trainable_tensors()`.
    ///
    /// # Errors
    /// When a value is not finite, or the device failed.
    pub fn trainable(&self) -> Result<Weights, ModelError> {
        self.ask(|network| {
            let mut writer = Writer::default();
            network.write(&mut writer);
            Ok(writer.finish(self.manifest.clone())?)
        })
    }

    /// Asks the network something, unless its device has failed it.
    fn ask<R>(&self, what: impl FnOnce(&Network<Trained>) -> Result<R, ModelError>) -> Result<R, ModelError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.device.guard(|| what(&self.network)),
        }
    }

    /// Changes the network, unless its device has failed it.
    fn change<R>(
        &mut self,
        how: impl FnOnce(&mut Network<Trained>) -> Result<R, ModelError>,
    ) -> Result<R, ModelError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.device.guard(|| how(&mut self.network));
        if let Err(error @ ModelError::Device { .. }) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Answers for `inputs`, `batch` at a time; the next batches are read in the background.
    ///
    /// Deterministic: stored statistics, and blocks take the paths that `routes` says.
    ///
    /// # Errors
    /// When an input cannot be read, an answer is not finite, or the device failed.
    pub fn predict(
        &self,
        inputs: &dyn Inputs,
        batch: usize,
        routes: Routes,
    ) -> Result<Vec<Prediction>, ModelError> {
        self.ask(|network| self.answers(network, inputs, batch, routes))
    }

    fn answers(
        &self,
        network: &Network<Trained>,
        inputs: &dyn Inputs,
        batch: usize,
        routes: Routes,
    ) -> Result<Vec<Prediction>, ModelError> {
        let (network, device) = (network.fold(), self.device.plain());
        let _memory = ReleasedAtTheEnd;
        let (shape, batch) = (inputs.shape(), batch.max(1));
        let batches = inputs.len().div_ceil(batch);
        let rows = |number: usize| number * batch..((number + 1) * batch).min(inputs.len());
        let mut predictions = Vec::with_capacity(inputs.len());
        read_ahead(
            batches,
            |number| read_rows(inputs, rows(number)),
            |values| {
                for number in 0..batches {
                    let method = self.device.method(Precision::F32);
                    let input = volumes(values.take()?, shape, &device, method);
                    predictions.extend(in_pool(|| network.predict(input, number * batch, routes)));
                }
                Ok::<(), ModelError>(())
            },
        )?;
        match predictions.iter().position(|prediction| !prediction.logit.is_finite()) {
            Some(case) => Err(ModelError::NotFinite { case }),
            None => Ok(predictions),
        }
    }

    /// Trains for `recipe.local_epochs` epochs with fresh optimisers. `recipe.norm` is not read: the network was
    /// built with its normalisation.
    ///
    /// On the processor the same `seed`, cases and number of threads give bit-identical weights; a graphics card chooses
    /// its kernels by their speed and rounds differently from run to run. `observe` is told of every step and
    /// may stop the training.
    ///
    /// # Errors
    /// When there are no cases, one cannot be read, the loss is not finite, or `observe` stops. The weights are then
    /// those of the last step that succeeded. When the device fails there are none.
    pub fn train(
        &mut self,
        cases: &dyn TrainingCases,
        recipe: &Training,
        seed: Seed,
        observe: &mut dyn FnMut(TrainingProgress) -> ControlFlow<()>,
    ) -> Result<TrainingSummary, ModelError> {
        self.train_from(None, cases, recipe, seed, &mut |_| {}, observe)
    }

    /// [`Self::train`] that can be gone on with: `keep` is told between two epochs, and `state` is what it kept of the
    /// same training. The classifier is then built of [`TrainingState::weights`].
    ///
    /// # Errors
    /// As [`Self::train`], and when `state` is of another training or device: begin anew then.
    pub fn train_from(
        &mut self,
        state: Option<TrainingState>,
        cases: &dyn TrainingCases,
        recipe: &Training,
        seed: Seed,
        keep: &mut dyn FnMut(&BetweenEpochs<'_>),
        observe: &mut dyn FnMut(TrainingProgress) -> ControlFlow<()>,
    ) -> Result<TrainingSummary, ModelError> {
        let _memory = ReleasedAtTheEnd;
        let (device, manifest) = (self.device.clone(), self.manifest.clone());
        let course = Course { cases, recipe, seed, keep, observe };
        self.change(|network| train(network, &manifest, state, course, &device))
    }

    /// The loss of the cases `batch` and its gradients, without a step: for comparison with other frameworks.
    ///
    /// Running statistics move as in training.
    ///
    /// # Errors
    /// When an input cannot be read, a gradient is not finite, or the device failed.
    pub fn loss_and_gradients(
        &mut self,
        cases: &dyn TrainingCases,
        batch: &[usize],
        recipe: &Training,
        seed: Seed,
    ) -> Result<LossAndGradients, ModelError> {
        let (device, manifest) = (self.device.clone(), self.manifest.clone());
        self.change(|network| {
            let (loss, noise, gradients) = loss_and_gradients(network, cases, batch, recipe, seed, &device)?;
            let mut writer = Writer::of_gradients(&gradients);
            network.write(&mut writer);
            Ok(LossAndGradients { loss, gradients: writer.finish(manifest)?, noise })
        })
    }
}

/// One volume after the other.
fn read_rows(inputs: &dyn Inputs, rows: Range<usize>) -> Result<Vec<f32>, ModelError> {
    let voxels = inputs.shape().iter().product();
    let mut values = vec![0.0; rows.len() * voxels];
    for (case, out) in rows.zip(values.chunks_exact_mut(voxels)) {
        inputs.read(case, out).map_err(|cause| ModelError::Input { case, cause })?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use consilium_domain::network::{Depth, NetworkSpec, StemMode, Transfer, Tuning};
    use consilium_domain::{Arm, NormMode};

    use super::*;
    use crate::inputs::InMemory;
    use crate::sample::{self, Blobs};

    fn train(classifier: &mut Classifier, recipe: &Training) -> TrainingSummary {
        let proceed = &mut |_| ControlFlow::Continue(());
        classifier.train(&Blobs::new(13), recipe, Seed::from_number(4), proceed).unwrap()
    }

    #[test]
    fn weights_come_out_as_they_went_in() {
        for depth in [Depth::D10, Depth::D18, Depth::D50] {
            for arm in Arm::ALL {
                let classifier = sample::classifier(depth, arm, NormMode::Batch);
                let expected =
                    sample::weights(sample::architecture(depth, arm, NormMode::Batch).trainable_tensors(), 2);
                assert_eq!(classifier.trainable().unwrap(), expected, "{depth:?} {arm}");
            }
        }
    }

    #[test]
    fn the_same_seed_trains_the_same_weights_bit_by_bit() {
        for norm in [NormMode::Batch, NormMode::Fixed] {
            let [(first, first_summary), (second, second_summary)] = [(); 2].map(|()| {
                let mut classifier = sample::classifier(Depth::D10, Arm::Spottune, norm);
                let summary = train(&mut classifier, &sample::recipe(norm));
                (classifier.trainable().unwrap(), summary)
            });
            assert_eq!(
                (first_summary.loss, first_summary.steps),
                (second_summary.loss, second_summary.steps)
            );
            assert!(
                first.values().iter().map(|x| x.to_bits()).eq(second.values().iter().map(|x| x.to_bits()))
            );
        }
    }

    /// A daemon trains on one thread and sends from another.
    #[test]
    fn another_thread_reads_the_last_statistics() {
        let recipe = sample::recipe(NormMode::Batch);
        let mut here = sample::classifier(Depth::D10, Arm::Random, NormMode::Batch);
        train(&mut here, &recipe);
        let mut elsewhere = sample::classifier(Depth::D10, Arm::Random, NormMode::Batch);
        std::thread::scope(|scope| {
            scope.spawn(|| train(&mut elsewhere, &recipe));
        });
        assert_eq!(here.trainable().unwrap(), elsewhere.trainable().unwrap());
    }

    /// Whatever the study says of the stem and the blocks: what is said to train moves, and the rest is the base's.
    #[test]
    fn what_trains_of_the_backbone_is_what_the_study_says() {
        for (transfer, stem) in [(Transfer::All, StemMode::Tuned), (Transfer::Layer4, StemMode::Frozen)] {
            let tuning = Tuning { transfer, stem };
            for (arm, checkpointing) in [Arm::Spottune, Arm::Medicalnet].map(|arm| (arm, [false, true])) {
                let architecture =
                    Architecture { tuning, ..sample::architecture(Depth::D10, arm, NormMode::Fixed) };
                let base = sample::weights(architecture.spec.backbone_tensors(), 1);
                let start = sample::weights(architecture.trainable_tensors(), 2);
                let [plain, checkpointed] = checkpointing.map(|checkpointing| {
                    let device = ComputeDevice::cpu().with_checkpointing(checkpointing);
                    let mut classifier = Classifier::new(architecture, Some(&base), &start, &device).unwrap();
                    train(&mut classifier, &sample::recipe(NormMode::Fixed));
                    classifier.trainable().unwrap()
                });
                assert_eq!(plain, checkpointed, "{arm} {tuning:?}");
                for ((tensor, before), (_, after)) in start.iter().zip(plain.iter()) {
                    assert_eq!(before != after, tensor.kind.is_parameter(), "{} of {arm}", tensor.name);
                }
            }
        }
    }

    /// A network that trains its last stage only is the whole network with the base's weights before it.
    #[test]
    fn blocks_that_stay_compute_what_the_base_says() {
        let all = sample::architecture(Depth::D10, Arm::Medicalnet, NormMode::Fixed);
        let last = Architecture { tuning: Tuning { transfer: Transfer::Layer4, ..all.tuning }, ..all };
        let base = sample::weights(all.spec.backbone_tensors(), 1);
        let trainable = sample::weights(last.trainable_tensors(), 2);
        let values = all.trainable_tensors().into_iter().flat_map(|tensor| {
            let found = trainable.tensor(&tensor.name);
            let name = tensor.name.strip_prefix(consilium_domain::network::TUNED_PREFIX);
            found.or_else(|| base.tensor(name?)).expect("one of them has it").to_vec()
        });
        let values = values.collect();
        let whole = Weights::new(all.trainable_tensors().into(), values).unwrap();
        let answers = |architecture, weights| {
            let device = ComputeDevice::cpu();
            let classifier = Classifier::new(architecture, Some(&base), weights, &device).unwrap();
            classifier.predict(&Blobs::new(3), 3, Routes::Preferred).unwrap()
        };
        assert_eq!(answers(last, &trainable), answers(all, &whole));
    }

    /// Every parameter moves; the statistics move exactly where the batch is measured.
    #[test]
    fn training_reaches_every_tensor_it_should() {
        for norm in [NormMode::Batch, NormMode::Fixed] {
            for arm in Arm::ALL {
                let mut classifier = sample::classifier(Depth::D10, arm, norm);
                let before = classifier.trainable().unwrap();
                let summary = train(&mut classifier, &sample::recipe(norm));
                assert_eq!((summary.steps, summary.cases), (4, 13));
                assert_eq!(summary.tuned_share.is_some(), arm == Arm::Spottune);
                let after = classifier.trainable().unwrap();
                for ((tensor, before), (_, after)) in before.iter().zip(after.iter()) {
                    let moves = tensor.kind.is_parameter() || norm == NormMode::Batch;
                    assert_eq!(before != after, moves, "{} of {arm} under {norm:?}", tensor.name);
                }
            }
        }
    }

    /// Frozen blocks hold no parameter and no statistic, so what they compute must not change either.
    #[test]
    fn the_frozen_path_is_bit_identical_after_training() {
        let frozen = |classifier: &Classifier| {
            let network = classifier.network.fold();
            let device = classifier.device.plain();
            let blobs = Blobs::new(4);
            let input = volumes(
                blobs.inputs().concat(),
                blobs.shape(),
                &device,
                classifier.device.method(Precision::F32),
            );
            let x = network.trunk.stem.forward(input);
            let routing = network.routing.expect("spottune routes");
            routing.frozen.iter().fold(x, |x, block| block.forward(x)).into_planar().into_data()
        };
        let mut classifier = sample::classifier(Depth::D18, Arm::Spottune, NormMode::Batch);
        let before = frozen(&classifier);
        train(&mut classifier, &sample::recipe(NormMode::Batch));
        assert_eq!(frozen(&classifier), before);
    }

    #[test]
    fn training_tells_bright_from_dark() {
        for arm in Arm::ALL {
            let mut classifier = sample::classifier(Depth::D10, arm, NormMode::Batch);
            let recipe = Training { local_epochs: 12, ..sample::recipe(NormMode::Batch) };
            let blobs = Blobs::new(24);
            let mut losses = Vec::new();
            let summary = classifier
                .train(&blobs, &recipe, Seed::from_number(4), &mut |progress| {
                    losses.push(progress.loss);
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert!(summary.loss < 0.5 * losses[0], "{arm}: {} from {}", summary.loss, losses[0]);
            let predictions = classifier.predict(&blobs, 5, Routes::Preferred).unwrap();
            let right = predictions.iter().enumerate().filter(|(i, p)| (p.probability > 0.5) == (i % 2 == 1));
            assert!(right.count() >= 22, "{arm}");
        }
    }

    /// Whoever shares the batch must not change an answer.
    #[test]
    fn predictions_do_not_depend_on_the_batch() {
        let classifier = sample::classifier(Depth::D10, Arm::Spottune, NormMode::Batch);
        let blobs = Blobs::new(7);
        let sampled = Routes::Sampled { count: NonZeroU16::new(3).unwrap(), seed: Seed::from_number(1) };
        for routes in [Routes::Preferred, sampled] {
            let [alone, together] = [1, 7].map(|batch| classifier.predict(&blobs, batch, routes).unwrap());
            for (alone, together) in alone.iter().zip(&together) {
                assert!((alone.logit - together.logit).abs() < 1e-4);
                assert_eq!(alone.tuned, together.tuned);
                assert_eq!(alone.tuned.len(), 4);
            }
        }
    }

    /// Blocks are routed as often as the policy says, and every routing counts once in the mean.
    #[test]
    fn sampled_routes_average_over_the_policys_distribution() {
        let classifier = sample::classifier(Depth::D10, Arm::Spottune, NormMode::Batch);
        let blobs = Blobs::new(2);
        let predict = |count, seed| {
            let (count, seed) = (NonZeroU16::new(count).unwrap(), Seed::from_number(seed));
            classifier.predict(&blobs, 2, Routes::Sampled { count, seed }).unwrap()
        };
        let (many, others) = (predict(200, 1), predict(200, 2));
        for (one, other) in many.iter().zip(&others) {
            assert!(one.tuned.iter().any(|share| *share > 0.0 && *share < 1.0), "{:?}", one.tuned);
            assert!(one.tuned.iter().zip(&other.tuned).all(|(a, b)| (a - b).abs() < 0.2));
            assert!((one.probability - other.probability).abs() < 0.1);
            assert!((1.0 / (1.0 + (-one.logit).exp()) - one.probability).abs() < 1e-5);
        }
        assert_ne!(many, others);
        assert_eq!(many, predict(200, 1));
    }

    #[test]
    fn unfit_weights_inputs_and_recipes_are_refused() {
        let spec = sample::spec(Depth::D10);
        let device = ComputeDevice::cpu();
        let architecture = |arm| sample::architecture(Depth::D10, arm, NormMode::Batch);
        let trainable = sample::weights(architecture(Arm::Spottune).trainable_tensors(), 2);
        let new = |arm, base| Classifier::new(architecture(arm), base, &trainable, &device).err();
        assert_eq!(new(Arm::Spottune, None), Some(ModelError::BaseMissing(Arm::Spottune)));
        let wider = NetworkSpec { width: 8, ..spec };
        let base = sample::weights(wider.backbone_tensors(), 1);
        let unfit = |what, tensor: &str| Some(ModelError::Manifest { what, tensor: tensor.into() });
        assert_eq!(new(Arm::Spottune, Some(&base)), unfit("base", "conv1.weight"));
        assert_eq!(new(Arm::Random, None), unfit("trainable", "tuned.conv1.weight"));

        let mut classifier = sample::classifier(Depth::D10, Arm::Random, NormMode::Batch);
        let shape = [Blobs::SIDE; 3];
        let right = vec![0.5; Blobs::SIDE.pow(3)];
        let short =
            classifier.predict(&InMemory { volumes: &[&right, &[0.0; 5]], shape }, 1, Routes::Preferred);
        assert!(matches!(short, Err(ModelError::Input { case: 1, .. })), "{short:?}");
        let damaged = vec![f32::NAN; Blobs::SIDE.pow(3)];
        let damaged = classifier.predict(&InMemory { volumes: &[&damaged], shape }, 1, Routes::Preferred);
        assert_eq!(damaged, Err(ModelError::NotFinite { case: 0 }));
        let recipe = sample::recipe(NormMode::Batch);
        let seed = Seed::from_number(1);
        let none = classifier.train(&Blobs::new(0), &recipe, seed, &mut |_| ControlFlow::Continue(()));
        assert_eq!(none, Err(ModelError::NoCases));
        let stopped = classifier.train(&Blobs::new(4), &recipe, seed, &mut |_| ControlFlow::Break(()));
        assert_eq!(stopped, Err(ModelError::Stopped { epoch: 0 }));
    }
}
