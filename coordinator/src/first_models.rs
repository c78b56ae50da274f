//! The blobs a study starts from: the frozen backbone and the model of round 0 of every arm.

use std::sync::Arc;

use consilium_domain::Study;
use consilium_domain::network::TensorSpec;
use consilium_privacy::most_update_bytes;
use consilium_protocol::coordinator::FirstModels;
use consilium_transport::BlobStore;
use consilium_weights::{InitialError, Weights, WeightsError, initial_trainable};

/// Why a study has nothing to start from.
#[derive(Debug, thiserror::Error)]
pub enum FirstModelsError {
    /// A pretrained arm without a file.
    #[error(
        "the study has a pretrained arm, and no weights were given: pass --weights FILE, or study the random arm only"
    )]
    NoWeights,
    /// The file does not fit.
    #[error("the pretrained weights do not fit the study's network: {0}")]
    Weights(#[from] WeightsError),
    /// An arm's model cannot be made.
    #[error(transparent)]
    Initial(#[from] InitialError),
    /// The store refuses.
    #[error(
        "the first models cannot be stored: {0}; check the disk's space and permissions, then start again"
    )]
    Store(#[from] consilium_transport::StoreError),
}

/// Verifies `base` (a safetensors file of the backbone), makes each arm's model of round 0 and stores all of them.
///
/// # Errors
/// When weights are missing or wrong: the study must not start.
pub(crate) async fn first_models(
    study: &Study,
    base: Option<&[u8]>,
    store: &BlobStore,
) -> Result<FirstModels, FirstModelsError> {
    if study.needs_base() && base.is_none() {
        return Err(FirstModelsError::NoWeights);
    }
    let mut models = FirstModels::default();
    let mut pretrained = None;
    if let Some(bytes) = base.filter(|_| study.needs_base()) {
        let manifest: Arc<[TensorSpec]> = study.network.backbone_tensors().into();
        let weights = Weights::from_safetensors(bytes, manifest)?;
        models.base = Some(store.insert(weights.to_safetensors()).await?);
        pretrained = Some(weights);
    }
    for &arm in &study.arms {
        let initial = initial_trainable(
            study.network,
            arm,
            study.training.tuning(),
            &study.seed(),
            pretrained.as_ref(),
        )?;
        let most = most_update_bytes(study.federation.wire, initial.values().len());
        models.update_bytes.insert(arm, most);
        models.initial.insert(arm, store.insert(initial.to_safetensors()).await?);
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::{TUNED_PREFIX, initial_values};
    use consilium_domain::{Arm, Seed, Wire};

    use super::*;
    use crate::scene::study;

    fn all_arms() -> Study {
        Study { arms: Arm::ALL.to_vec(), ..study() }
    }

    fn base(study: &Study) -> Weights {
        let manifest: Arc<[TensorSpec]> = study.network.backbone_tensors().into();
        let seed = Seed::from_number(3);
        let values = manifest.iter().flat_map(|tensor| initial_values(tensor, &seed)).collect();
        Weights::new(manifest, values).unwrap()
    }

    fn store() -> (BlobStore, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (BlobStore::open(dir.path()).unwrap(), dir)
    }

    #[tokio::test]
    async fn a_pretrained_arm_without_weights_is_refused_and_the_random_arm_needs_none() {
        let (store, _dir) = store();
        let refused = first_models(&all_arms(), None, &store).await;
        assert!(matches!(refused, Err(FirstModelsError::NoWeights)));
        let models = first_models(&study(), None, &store).await.unwrap();
        assert_eq!((models.base, models.initial.len()), (None, 1));
        let file = base(&study()).to_safetensors();
        let same = first_models(&study(), Some(&file), &store).await.unwrap();
        assert_eq!(same, models, "nobody fetches a backbone that no arm uses");
    }

    #[tokio::test]
    async fn weights_of_another_network_are_refused() {
        let (store, _dir) = store();
        let mut wide = all_arms();
        wide.network.width = 2;
        let file = base(&wide).to_safetensors();
        let refused = first_models(&all_arms(), Some(&file), &store).await;
        assert!(matches!(refused, Err(FirstModelsError::Weights(WeightsError::Shape { .. }))));
    }

    #[tokio::test]
    async fn pretrained_arms_start_as_copies_of_the_backbone_and_every_blob_is_stored() {
        let (store, _dir) = store();
        let study = all_arms();
        let base = base(&study);
        let models = first_models(&study, Some(&base.to_safetensors()), &store).await.unwrap();
        let manifest: Arc<[TensorSpec]> = study.network.backbone_tensors().into();
        let stored = store.read(&models.base.unwrap()).await.unwrap();
        assert!(Weights::from_safetensors(&stored, manifest).unwrap() == base);
        for &arm in &study.arms {
            let bytes = store.read(&models.initial[&arm]).await.unwrap();
            let model = Weights::from_safetensors(&bytes, study.trainable_tensors(arm).into()).unwrap();
            let tuned = model.iter().filter_map(|(tensor, values)| {
                Some((base.tensor(tensor.name.strip_prefix(TUNED_PREFIX)?)?, values))
            });
            let copies = tuned.map(|(base, values)| base == values).collect::<Vec<_>>();
            assert!(
                !copies.is_empty() && copies.iter().all(|copy| *copy == arm.is_pretrained())
                    || !arm.is_pretrained()
            );
            assert_eq!(models.update_bytes[&arm], most_update_bytes(Wire::F32, model.values().len()));
        }
    }
}
