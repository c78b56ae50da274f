//! Where a training stands between two epochs, kept at the site so that a power cut costs one epoch and not all.
//!
//! What is kept are the weights with their running statistics and what the optimisers remember. Random numbers are
//! not: they follow from the seed and the epoch. A training that goes on from here gives the weights it would have
//! given, to the bit. Half-trained weights are as secret as an unprotected update, so they only go into a
//! [`PrivateSink`]. Deliberately for the processor only: a graphics card begins its epochs again.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_privacy::PrivateSink;
use consilium_weights::{Weights, WeightsError};

use crate::layer::Trained;
use crate::network::Network;
use crate::optimiser::{Moments, Optimiser};
use crate::parameters::Writer;

const MAGIC: &[u8; 8] = b"CONSTRA1";
/// Values that are turned into bytes at once, so that no second copy of a network is in memory.
const VALUES_AT_ONCE: usize = 16 * 1024;

/// A training that has just ended an epoch and has not begun the next.
pub struct BetweenEpochs<'a> {
    pub(crate) epochs: u16,
    pub(crate) network: &'a Network<Trained>,
    pub(crate) manifest: &'a Arc<[TensorSpec]>,
    pub(crate) trunk: &'a Optimiser,
    pub(crate) policy: &'a Optimiser,
}

/// Where a training stood, read back.
///
/// ```compile_fail
/// fn leaves<T: serde::Serialize>() {}
/// leaves::<consilium_model::TrainingState>();
/// ```
pub struct TrainingState {
    pub(crate) epochs: u16,
    weights: Weights,
    pub(crate) trunk: Vec<Option<Moments>>,
    pub(crate) policy: Vec<Option<Moments>>,
}

/// Why a training cannot be kept between two epochs.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file.
    #[error("the state of a training cannot be written: {0}; check the disk's space and permissions")]
    Io(#[from] io::Error),
    /// Nothing that could be gone on with.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A graphics card keeps its moments to itself.
    #[error("a training on a graphics card cannot be kept between epochs")]
    Device,
}

/// Why what was kept cannot be gone on with. The training can always begin anew.
#[derive(Debug, thiserror::Error)]
pub enum TrainingStateError {
    /// Cut off, or unreadable.
    #[error("the kept training cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Not what was written, or of another network.
    #[error("the kept training is damaged or of another network: {0}")]
    Unfit(&'static str),
    /// Of another network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl BetweenEpochs<'_> {
    /// Epochs that are done.
    pub const fn epochs(&self) -> u16 {
        self.epochs
    }

    /// Writes it into a place that never leaves the hospital.
    ///
    /// # Errors
    /// When that fails, the weights are not finite, or the training is on a graphics card.
    pub fn keep(&self, place: &mut impl PrivateSink) -> Result<(), KeepError> {
        let mut writer = Writer::default();
        self.network.write(&mut writer);
        let weights = writer.finish(self.manifest.clone())?;
        let trunk = self.trunk.remembered(&self.network.trunk).ok_or(KeepError::Device)?;
        let policy = match &self.network.routing {
            Some(routing) => self.policy.remembered(&routing.policy).ok_or(KeepError::Device)?,
            None => Vec::new(),
        };
        place.write_all(MAGIC)?;
        place.write_all(&self.epochs.to_le_bytes())?;
        write_values(place, weights.values())?;
        for optimiser in [trunk, policy] {
            place.write_all(&(optimiser.len() as u64).to_le_bytes())?;
            for moments in optimiser {
                place.write_all(&moments.map_or(0, |moments| moments.steps).to_le_bytes())?;
                if let Some(moments) = moments {
                    write_values(place, &moments.first)?;
                    write_values(place, &moments.second)?;
                }
            }
        }
        Ok(())
    }
}

impl TrainingState {
    /// Epochs that are done.
    pub const fn epochs(&self) -> u16 {
        self.epochs
    }

    /// What the classifier that goes on is built of.
    pub const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Reads what [`BetweenEpochs::keep`] has written, of a network with the tensors of `manifest`.
    ///
    /// # Errors
    /// When it is something else, or of another network.
    pub fn read(mut place: impl Read, manifest: Arc<[TensorSpec]>) -> Result<Self, TrainingStateError> {
        let place = &mut place;
        if array::<8>(place)? != *MAGIC {
            return Err(TrainingStateError::Unfit("it does not begin as one"));
        }
        let epochs = u16::from_le_bytes(array(place)?);
        // No moment has more values than the network, and no network more parameters than tensors.
        let most = manifest.iter().map(TensorSpec::values).sum();
        let tensors = manifest.len();
        let weights = Weights::new(manifest, read_values(place, most)?)?;
        let mut optimiser = || -> Result<Vec<Option<Moments>>, TrainingStateError> {
            let parameters = length(place, tensors)?;
            (0..parameters).map(|_| read_moments(place, most)).collect()
        };
        let (trunk, policy) = (optimiser()?, optimiser()?);
        match place.read(&mut [0])? {
            0 => Ok(Self { epochs, weights, trunk, policy }),
            _ => Err(TrainingStateError::Unfit("it does not end where it should")),
        }
    }
}

impl fmt::Debug for TrainingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrainingState({} epochs)", self.epochs)
    }
}

fn write_values(place: &mut impl PrivateSink, values: &[f32]) -> io::Result<()> {
    place.write_all(&(values.len() as u64).to_le_bytes())?;
    let mut bytes = Vec::with_capacity(4 * VALUES_AT_ONCE);
    for values in values.chunks(VALUES_AT_ONCE) {
        bytes.clear();
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        place.write_all(&bytes)?;
    }
    Ok(())
}

fn read_moments(place: &mut impl Read, most: usize) -> Result<Option<Moments>, TrainingStateError> {
    match u32::from_le_bytes(array(place)?) {
        0 => Ok(None),
        steps => {
            let (first, second) = (read_values(place, most)?, read_values(place, most)?);
            Ok(Some(Moments { steps, first, second }))
        }
    }
}

fn read_values(place: &mut impl Read, most: usize) -> Result<Vec<f32>, TrainingStateError> {
    let mut bytes = vec![0; 4 * length(place, most)?];
    place.read_exact(&mut bytes)?;
    let values = bytes.chunks_exact(4);
    Ok(values.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect())
}

/// A length of at most `most`: a damaged file is not believed what memory it wants.
fn length(place: &mut impl Read, most: usize) -> Result<usize, TrainingStateError> {
    let claimed = usize::try_from(u64::from_le_bytes(array(place)?)).unwrap_or(usize::MAX);
    if claimed <= most { Ok(claimed) } else { Err(TrainingStateError::Unfit("it claims too many values")) }
}

fn array<const N: usize>(place: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    place.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::ops::ControlFlow;

    use consilium_domain::network::Depth;
    use consilium_domain::{Arm, NormMode, Seed, Training};

    use super::*;
    use crate::sample::{self, Blobs};
    use crate::{Classifier, ComputeDevice, ModelError};

    /// A test's memory.
    #[derive(Default, Clone)]
    struct Drawer(Vec<u8>);

    impl Write for Drawer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl PrivateSink for Drawer {}

    fn recipe(norm: NormMode) -> Training {
        Training { local_epochs: 4, ..sample::recipe(norm) }
    }

    /// The weights after four epochs, and what was kept after each but the last.
    fn undisturbed(arm: Arm, norm: NormMode) -> (Weights, f64, Vec<Drawer>) {
        let mut classifier = sample::classifier(Depth::D10, arm, norm);
        let mut kept = Vec::new();
        let mut keep = |between: &BetweenEpochs<'_>| {
            let mut drawer = Drawer::default();
            between.keep(&mut drawer).unwrap();
            kept.push(drawer);
        };
        let proceed = &mut |_| ControlFlow::Continue(());
        let (cases, seed) = (Blobs::new(13), Seed::from_number(4));
        let summary = classifier.train_from(None, &cases, &recipe(norm), seed, &mut keep, proceed).unwrap();
        (classifier.trainable().unwrap(), summary.loss, kept)
    }

    #[test]
    fn a_training_that_goes_on_after_any_epoch_ends_with_the_same_bits() {
        for (arm, norm) in [
            (Arm::Spottune, NormMode::Batch),
            (Arm::Spottune, NormMode::Fixed),
            (Arm::Random, NormMode::Batch),
        ] {
            let (expected, loss, kept) = undisturbed(arm, norm);
            assert_eq!(kept.len(), 3, "after the last epoch there is nothing to go on with");
            let architecture = sample::architecture(Depth::D10, arm, norm);
            let base = sample::weights(architecture.spec.backbone_tensors(), 1);
            for (epochs, drawer) in (1..).zip(kept) {
                let manifest = architecture.trainable_tensors().into();
                let state = TrainingState::read(&drawer.0[..], manifest).unwrap();
                assert_eq!(state.epochs(), epochs);
                let device = ComputeDevice::cpu();
                let mut classifier =
                    Classifier::new(architecture, Some(&base), state.weights(), &device).unwrap();
                let mut first = None;
                let mut observe = |progress: crate::TrainingProgress| {
                    first.get_or_insert(progress.epoch);
                    ControlFlow::Continue(())
                };
                let (cases, seed) = (Blobs::new(13), Seed::from_number(4));
                let summary = classifier
                    .train_from(Some(state), &cases, &recipe(norm), seed, &mut |_| {}, &mut observe)
                    .unwrap();
                assert_eq!(first, Some(epochs), "done epochs are not done again");
                assert_eq!(summary.loss.to_bits(), loss.to_bits());
                let trained = classifier.trainable().unwrap();
                for ((tensor, found), (_, expected)) in trained.iter().zip(expected.iter()) {
                    assert!(found == expected, "{} of {arm} {norm:?} after {epochs} epochs", tensor.name);
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_network_is_refused() {
        let (_, _, kept) = undisturbed(Arm::Random, NormMode::Batch);
        let manifest = |width| {
            let spec = consilium_domain::network::NetworkSpec { width, ..sample::spec(Depth::D10) };
            let architecture = sample::architecture(Depth::D10, Arm::Random, NormMode::Batch);
            crate::Architecture { spec, ..architecture }.trainable_tensors().into()
        };
        let bytes = &kept[0].0;
        let cuts = (0..bytes.len()).step_by(997);
        for cut in cuts {
            assert!(TrainingState::read(&bytes[..cut], manifest(4)).is_err(), "cut at {cut}");
        }
        assert!(TrainingState::read(&bytes[..], manifest(8)).is_err());
        let longer = [&bytes[..], &[0]].concat();
        assert!(TrainingState::read(&longer[..], manifest(4)).is_err());
    }

    #[test]
    fn moments_of_another_network_are_not_gone_on_with() {
        let (_, _, kept) = undisturbed(Arm::Random, NormMode::Batch);
        let manifest = sample::architecture(Depth::D10, Arm::Random, NormMode::Batch).trainable_tensors();
        let mut state = TrainingState::read(&kept[0].0[..], manifest.into()).unwrap();
        state.trunk.pop();
        let mut classifier = sample::classifier(Depth::D10, Arm::Random, NormMode::Batch);
        let proceed = &mut |_| ControlFlow::Continue(());
        let (recipe, seed) = (recipe(NormMode::Batch), Seed::from_number(4));
        let error = classifier.train_from(Some(state), &Blobs::new(13), &recipe, seed, &mut |_| {}, proceed);
        assert_eq!(error, Err(ModelError::OtherTraining));
    }
}
