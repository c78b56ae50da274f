//! Federated averaging (FedAvg, arXiv:1602.05629) as an exact sum: model' = model + sum of n_k delta_k / sum of n_k.
//!
//! Updates are integers on a fixed grid, so the sum does not depend on their order and the result is the same bit
//! for bit. One update is in memory at a time: memory is O(model) whatever the number of sites.

use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{BlobRef, FixedPoint, Lane, Round, SiteId, Study};
use consilium_privacy::{Accumulator, AddError, ApplyError, Grid, GridError, PayloadError, UpdatePayload};
use consilium_protocol::coordinator::Contribution;
use consilium_transport::{BlobStore, StoreError};
use consilium_weights::{Weights, WeightsError};
use tokio::task::spawn_blocking;

/// Why a round has no new model. Ours to mend: every contribution was checked when it came.
#[derive(Debug, thiserror::Error)]
pub enum AggregationError {
    /// A blob is gone or altered.
    #[error("a stored model or update cannot be used: {0}; restore the state folder from a backup")]
    Store(#[from] StoreError),
    /// The program is ending.
    #[error("the sum was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The model cannot be read, or the new one is not finite.
    #[error("the model of {lane} round {round} cannot be used: {source}")]
    Model {
        /// The lane.
        lane: Lane,
        /// The round.
        round: Round,
        /// What is wrong.
        source: WeightsError,
    },
    /// A stored update cannot be read.
    #[error("the update of {site} cannot be used: {source}")]
    Payload {
        /// Whose.
        site: SiteId,
        /// What is wrong.
        source: PayloadError,
    },
    /// The sum refuses.
    #[error("the update of {site} cannot be added: {source}")]
    Add {
        /// Whose.
        site: SiteId,
        /// What is wrong.
        source: AddError,
    },
    /// The mean cannot be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The study's arithmetic is impossible.
    #[error(transparent)]
    Grid(#[from] GridError),
}

/// What is to be summed.
pub(crate) struct Aggregation {
    /// The lane.
    pub lane: Lane,
    /// The round.
    pub round: Round,
    /// The tensors of the lane's model.
    pub manifest: Arc<[TensorSpec]>,
    /// The study's arithmetic.
    pub fixed_point: FixedPoint,
    /// The model the round started from.
    pub start: BlobRef,
    /// The updates.
    pub contributions: Vec<Contribution>,
}

impl Aggregation {
    /// The sum that `effect`'s fields describe, in `study`.
    pub(crate) fn new(
        study: &Study,
        lane: Lane,
        round: Round,
        start: BlobRef,
        contributions: Vec<Contribution>,
    ) -> Self {
        let manifest = study.trainable_tensors(lane.arm).into();
        Self { lane, round, manifest, fixed_point: study.federation.fixed_point, start, contributions }
    }

    /// Takes the sum and stores the new model. The arithmetic runs on blocking threads.
    ///
    /// # Errors
    /// When a stored blob is gone or altered, or the disk is full.
    pub(crate) async fn run(self, store: &BlobStore) -> Result<BlobRef, AggregationError> {
        let grid = Grid::new(self.fixed_point)?;
        let coordinates = self.manifest.iter().map(TensorSpec::values).sum();
        let mut sum = Accumulator::new(coordinates, grid);
        for Contribution { site, update, cases } in self.contributions {
            let bytes = store.read(&update).await?;
            sum = spawn_blocking(move || add(sum, &bytes, coordinates, grid, &site, cases)).await??;
        }
        let start = store.read(&self.start).await?;
        let (lane, round, manifest) = (self.lane, self.round, self.manifest);
        let model = spawn_blocking(move || {
            let unusable = |source| AggregationError::Model { lane, round, source };
            let start = Weights::from_safetensors(&start, manifest.clone()).map_err(unusable)?;
            let values = sum.apply(start.values())?;
            Ok::<_, AggregationError>(Weights::new(manifest, values).map_err(unusable)?.to_safetensors())
        });
        Ok(store.insert(model.await??).await?)
    }
}

fn add(
    mut sum: Accumulator,
    bytes: &[u8],
    coordinates: usize,
    grid: Grid,
    site: &SiteId,
    cases: u32,
) -> Result<Accumulator, AggregationError> {
    let payload = UpdatePayload::parse(bytes, coordinates, grid)
        .map_err(|source| AggregationError::Payload { site: site.clone(), source })?;
    sum.add(&payload, cases).map_err(|source| AggregationError::Add { site: site.clone(), source })?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::TensorKind;
    use consilium_domain::{Arm, Fold, Modality};
    use consilium_privacy::LocalUpdate;

    use super::*;

    const FIXED_POINT: FixedPoint = FixedPoint { clip: 64, fraction_bits: 24 };
    const START: [f32; 3] = [1.0, -2.0, 0.5];

    fn manifest() -> Arc<[TensorSpec]> {
        vec![TensorSpec { name: "head".into(), shape: vec![3], kind: TensorKind::LinearBias }].into()
    }

    /// What a site sends after it has changed the model by `change`.
    async fn contribution(name: &str, change: [f32; 3], cases: u32, store: &BlobStore) -> Contribution {
        let after: Vec<f32> = START.iter().zip(change).map(|(start, change)| start + change).collect();
        let update = LocalUpdate::between(&START, &after, cases).unwrap();
        let (payload, _) = update.clip(Grid::new(FIXED_POINT).unwrap()).quantise().seal().into_parts();
        let update = store.insert(payload).await.unwrap();
        Contribution { site: name.parse().unwrap(), update, cases }
    }

    async fn aggregation(contributions: Vec<Contribution>, store: &BlobStore) -> Aggregation {
        let start = Weights::new(manifest(), START.to_vec()).unwrap().to_safetensors();
        Aggregation {
            lane: Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(0) },
            round: Round(1),
            manifest: manifest(),
            fixed_point: FIXED_POINT,
            start: store.insert(start).await.unwrap(),
            contributions,
        }
    }

    #[tokio::test]
    async fn the_new_model_is_the_mean_weighted_by_cases_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let one = contribution("a", [0.5, 0.0, -1.0], 1, &store).await;
        let three = contribution("b", [-0.5, 1.0, 0.25], 3, &store).await;
        let forwards = aggregation(vec![one.clone(), three.clone()], &store).await.run(&store).await.unwrap();
        let backwards = aggregation(vec![three, one], &store).await.run(&store).await.unwrap();
        assert_eq!(forwards, backwards);
        let model = Weights::from_safetensors(&store.read(&forwards).await.unwrap(), manifest()).unwrap();
        // (1 * 0.5 - 3 * 0.5) / 4, (0 + 3 * 1) / 4, (-1 + 3 * 0.25) / 4, each added to the start.
        assert_eq!(model.values(), [1.0 - 0.25, -2.0 + 0.75, 0.5 - 0.0625]);
    }

    #[tokio::test]
    async fn an_altered_or_foreign_blob_is_no_part_of_a_model() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let good = contribution("a", [0.5, 0.0, -1.0], 1, &store).await;
        let text = good.update.digest.to_string();
        let hex = text.rsplit(':').next().unwrap();
        let path = dir.path().join(&hex[..2]).join(&hex[2..]);
        let mut content = std::fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(&path, content).unwrap();
        let error = aggregation(vec![good.clone()], &store).await.run(&store).await.unwrap_err();
        assert!(matches!(error, AggregationError::Store(StoreError::Mismatch { .. })), "{error}");
        let foreign = store.insert(b"a text".to_vec()).await.unwrap();
        let foreign = Contribution { update: foreign, ..good };
        let error = aggregation(vec![foreign], &store).await.run(&store).await.unwrap_err();
        assert!(matches!(error, AggregationError::Payload { .. }), "{error}");
    }
}
