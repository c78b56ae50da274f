//! The blobs a study starts from: the frozen backbone and the model of round 0 of every arm.

use std::sync::Arc;

use consilium_domain::Study;
use consilium_domain::network::TensorSpec;
use consilium_privacy::UpdatePayload;
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
    #[error("the first models cannot be stored: {0}")]
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
        let initial = initial_trainable(study.network, arm, &study.seed(), pretrained.as_ref())?;
        models.update_bytes.insert(arm, UpdatePayload::bytes(initial.values().len()) as u64);
        models.initial.insert(arm, store.insert(initial.to_safetensors()).await?);
    }
    Ok(models)
}
