//! Models that are made here: of the model before, and of what the round changed.

use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{BlobRef, Study, Wire};
use consilium_privacy::{DeltaError, Grid, apply_delta};
use consilium_protocol::ModelDelta;
use consilium_transport::{BlobStore, StoreError, aside};
use consilium_weights::{Weights, WeightsError};
use tokio::task::JoinError;

/// How a model is made. What is made is the coordinator's model to the bit, or none.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    offer: ModelDelta,
    manifest: Arc<[TensorSpec]>,
    wire: Wire,
    grid: Grid,
}

/// Why no model was made. The model itself can still be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecipeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the model before cannot be used: {0}")]
    Before(#[from] WeightsError),
    #[error("what the round changed cannot be used: {0}")]
    Delta(#[from] DeltaError),
    #[error("another model came of it: {made} in place of {wanted}", made = .made.digest, wanted = .wanted.digest)]
    Other { made: BlobRef, wanted: BlobRef },
    #[error("the program is ending")]
    Ending(#[from] JoinError),
}

impl Recipe {
    /// As `offer` says, in `study`; none where the study's arithmetic is impossible.
    pub(crate) fn new(offer: ModelDelta, study: &Study) -> Option<Self> {
        let grid = Grid::new(study.federation.fixed_point).ok()?;
        let manifest = study.trainable_tensors(offer.lane.arm).into();
        Some(Self { offer, manifest, wire: study.federation.wire, grid })
    }

    /// What has to be fetched, where the rest is in `store`, and the model itself is not.
    pub(crate) async fn missing(&self, store: &BlobStore) -> Option<BlobRef> {
        let ModelDelta { from, to, delta, .. } = self.offer;
        (store.contains(&from.digest).await && !store.contains(&to.digest).await).then_some(delta)
    }

    /// Makes the model of what is in `store`, puts it there, and forgets the delta.
    pub(crate) async fn make(&self, store: &BlobStore) -> Result<(), RecipeError> {
        let ModelDelta { from, to, delta, .. } = self.offer;
        let (before, change) = (store.read(&from).await?, store.read(&delta).await);
        store.remove(&delta.digest).await?;
        let (recipe, change) = (self.clone(), change?);
        let made = aside(move || recipe.apply(before, &change)).await??;
        let made_ref = BlobRef::of(&made);
        if made_ref != to {
            return Err(RecipeError::Other { made: made_ref, wanted: to });
        }
        store.insert(made).await?;
        Ok(())
    }

    fn apply(&self, before: Vec<u8>, change: &[u8]) -> Result<Vec<u8>, RecipeError> {
        let weights = Weights::from_safetensors(&before, self.manifest.clone())?;
        drop(before);
        let mut values = weights.into_values();
        apply_delta(change, self.wire, self.grid, &mut values)?;
        Ok(Weights::new(self.manifest.clone(), values)?.to_safetensors())
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
        (store, Recipe { offer, manifest, wire: Wire::Bf16, grid }, model)
    }

    #[tokio::test]
    async fn the_model_is_the_coordinators_and_the_delta_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (store, recipe, model) = scene(dir.path(), None).await;
        assert_eq!(recipe.missing(&store).await, Some(recipe.offer.delta));
        recipe.make(&store).await.unwrap();
        assert_eq!(store.read(&recipe.offer.to).await.unwrap(), model);
        assert!(!store.contains(&recipe.offer.delta.digest).await);
        assert_eq!(recipe.missing(&store).await, None, "the model is here");
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
        assert!(matches!(recipe.make(&store).await, Err(RecipeError::Other { .. })));
        assert!(!store.contains(&recipe.offer.to.digest).await);
        assert!(!store.contains(&recipe.offer.delta.digest).await);
    }
}
