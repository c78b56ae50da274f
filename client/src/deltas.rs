//! Models that are made here: of the model before, and of what the round changed.

use std::fs::File;
use std::io;
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{BlobRef, Study, Wire};
use consilium_privacy::{DeltaError, Grid, apply_delta};
use consilium_protocol::ModelDelta;
use consilium_transport::{BlobStore, StoreError, aside};
use consilium_weights::{ReadWeightsError, Weights, WeightsError};
use tokio::task::JoinError;

/// How a model is made. What is made is the coordinator's model to the bit, or none.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    offer: ModelDelta,
    manifest: Arc<[TensorSpec]>,
    wire: Wire,
    grid: Grid,
    /// The model before, where it is at hand.
    before: Option<Arc<Weights>>,
}

/// Why no model was made. The model itself can still be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecipeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the model before cannot be used: {0}")]
    Before(#[from] ReadWeightsError),
    #[error("what the round changed cannot be used: {0}")]
    Delta(#[from] DeltaError),
    #[error("another model came of it: {0}")]
    Other(WeightsError),
    #[error("the model cannot be kept: {0}")]
    Write(io::Error),
    #[error("the program is ending")]
    Ending(#[from] JoinError),
}

impl Recipe {
    /// As `offer` says, in `study`, of the model `before` that may be at hand; none where the study's arithmetic is impossible.
    pub(crate) fn new(offer: ModelDelta, study: &Study, before: Option<Arc<Weights>>) -> Option<Self> {
        let grid = Grid::new(study.federation.fixed_point).ok()?;
        let manifest = study.trainable_tensors(offer.lane.arm).into();
        Some(Self { offer, manifest, wire: study.federation.wire, grid, before })
    }

    /// What has to be fetched, where the rest is in `store`, and the model itself is not.
    pub(crate) async fn missing(&self, store: &BlobStore) -> Option<BlobRef> {
        let ModelDelta { from, to, delta, .. } = self.offer;
        (store.contains(&from.digest).await && !store.contains(&to.digest).await).then_some(delta)
    }

    /// Makes the model of what is in `store`, puts it there, and forgets the delta.
    pub(crate) async fn make(self, store: &BlobStore) -> Result<Weights, RecipeError> {
        let (delta, here) = (self.offer.delta.digest, store.clone());
        let made = aside(move || self.make_in(&here)).await?;
        store.remove(&delta).await?;
        made
    }

    /// Neither file's hash is taken: only the model that was wanted comes of the two that were meant.
    fn make_in(self, store: &BlobStore) -> Result<Weights, RecipeError> {
        let ModelDelta { from, to, delta, .. } = self.offer;
        let mut values = match self.before.map(Arc::try_unwrap) {
            Some(Ok(before)) => before.into_values(),
            Some(Err(in_use)) => in_use.values().to_vec(),
            None => {
                let before = File::from(store.reader(&from)?);
                Weights::read(before, from.bytes, self.manifest.clone())?.into_values()
            }
        };
        apply_delta(File::from(store.reader(&delta)?), self.wire, self.grid, &mut values)?;
        let made = Weights::new(self.manifest.clone(), values).map_err(RecipeError::Other)?;
        let mut file = store.appender(to)?;
        made.write(&mut file).map_err(RecipeError::Write)?;
        file.finish()?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use consilium_codec::Packer;
    use consilium_domain::network::TensorKind;
    use consilium_domain::{Arm, FixedPoint, Fold, Lane, Modality};
    use consilium_privacy::{DeltaWriter, Loss, add_units};

    use super::*;

    const LANE: Lane = Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(1) };

    fn file(recipe_of: &Arc<[TensorSpec]>, values: [f32; 3]) -> Vec<u8> {
        Weights::new(recipe_of.clone(), values.into()).unwrap().to_safetensors()
    }

    /// A store with the model before and a delta, and the recipe of the model after, which is `promised`.
    async fn scene(dir: &std::path::Path, promised: Option<[f32; 3]>) -> (BlobStore, Recipe, Vec<u8>) {
        let store = BlobStore::open(dir).unwrap();
        let manifest: Arc<[TensorSpec]> =
            vec![TensorSpec { name: "head".into(), shape: vec![3], kind: TensorKind::LinearBias }].into();
        let grid = Grid::new(FixedPoint { clip: 64, fraction_bits: 24 }).unwrap();
        let (before, writer) = ([1.0, -2.0, 0.5], DeltaWriter::new(Wire::Bf16, grid));
        let (mut units, mut blocks, mut after) = ([1 << 20, -77_777, 0], Vec::new(), before);
        let loss: Loss = writer.block(&mut units, &mut Packer::new(), &mut blocks);
        add_units(&units, grid, &mut after).unwrap();
        let delta = [writer.header(3, loss), blocks].concat();
        let model = file(&manifest, promised.unwrap_or(after));
        let offer = ModelDelta {
            lane: LANE,
            from: store.insert(file(&manifest, before)).await.unwrap(),
            to: BlobRef::of(&model),
            delta: store.insert(delta).await.unwrap(),
        };
        (store, Recipe { offer, manifest, wire: Wire::Bf16, grid, before: None }, model)
    }

    #[tokio::test]
    async fn the_model_is_the_coordinators_and_the_delta_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (store, recipe, model) = scene(dir.path(), None).await;
        assert_eq!(recipe.missing(&store).await, Some(recipe.offer.delta));
        let made = recipe.clone().make(&store).await.unwrap();
        assert_eq!(made.to_safetensors(), model);
        assert_eq!(store.read(&recipe.offer.to).await.unwrap(), model);
        assert!(!store.contains(&recipe.offer.delta.digest).await);
        assert_eq!(recipe.missing(&store).await, None, "the model is here");
    }

    #[tokio::test]
    async fn a_model_at_hand_need_not_be_read_and_must_be_the_right_one() {
        for (value, is_right) in [(1.0, true), (1.5, false)] {
            for in_use in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let (store, recipe, model) = scene(dir.path(), None).await;
                store.remove(&recipe.offer.from.digest).await.unwrap();
                let before = Weights::new(recipe.manifest.clone(), vec![value, -2.0, 0.5]).unwrap();
                let before = Arc::new(before);
                let other = in_use.then(|| before.clone());
                let made = Recipe { before: Some(before), ..recipe }.make(&store).await;
                assert_eq!(made.is_ok_and(|made| made.to_safetensors() == model), is_right);
                drop(other);
            }
        }
    }

    #[tokio::test]
    async fn without_the_model_before_there_is_no_shorter_way() {
        let dir = tempfile::tempdir().unwrap();
        let (store, recipe, _) = scene(dir.path(), None).await;
        store.remove(&recipe.offer.from.digest).await.unwrap();
        assert_eq!(recipe.missing(&store).await, None);
    }

    #[tokio::test]
    async fn another_model_than_was_promised_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (store, recipe, _) = scene(dir.path(), Some([9.0; 3])).await;
        let refused = recipe.clone().make(&store).await;
        assert!(matches!(refused, Err(RecipeError::Store(StoreError::Mismatch { .. }))), "{refused:?}");
        assert!(!store.contains(&recipe.offer.to.digest).await);
        assert!(!store.contains(&recipe.offer.delta.digest).await);
    }
}
