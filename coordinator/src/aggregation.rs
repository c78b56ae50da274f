//! Federated averaging (FedAvg, arXiv:1602.05629) as an exact sum: model' = model + sum of n_k delta_k / sum of n_k,
//! where the mean is rounded to the study's grid and told as its wire tells deltas (docs/adr/0025-deltas-down.md).
//!
//! Updates are integers on a fixed grid, so the sum does not depend on their order and the result is the same bit
//! for bit. All updates are read side by side, a few blocks of coordinates at a time ([`updates`]), and each block
//! becomes its part of the new model's file ([`next_model`]) and of what sites make that model of ([`delta`]): memory does not grow with the model, nor, up to some
//! sixty sites, with their number. Why a round is summed at its end: docs/adr/0019-wire-codecs.md.

mod delta;
#[cfg(all(test, target_os = "linux"))]
mod large_model;
mod moved;
mod next_model;
mod updates;

use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{BlobRef, FixedPoint, Lane, Round, SiteId, Study, Wire};
use consilium_privacy::{AddError, Grid, GridError, NoContributions, NotFinite, PayloadError};
use consilium_protocol::coordinator::{Contribution, Movement};
use consilium_transport::{BlobStore, StoreError, aside};
use consilium_weights::WeightsError;

use delta::Delta;
use moved::Moved;
use next_model::NextModel;
pub(crate) use updates::check_update;
use updates::{Updates, Wave};

/// Why a round has no new model. Ours to mend: every contribution was checked when it came.
#[derive(Debug, thiserror::Error)]
pub enum AggregationError {
    /// A blob is gone or altered.
    #[error("a stored model or update cannot be used: {0}; restore the state folder from a backup")]
    Store(StoreError),
    /// The disk refuses.
    #[error("the sum stands still: {0}; check the disk's space and permissions, then start again")]
    Disk(StoreError),
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
    /// A stored update cannot be read from the disk.
    #[error("the update of {site} cannot be read: {source}; check the coordinator's disk")]
    Read {
        /// Whose.
        site: SiteId,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stored update is none.
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
    /// There is nothing to sum.
    #[error(transparent)]
    NoContributions(#[from] NoContributions),
    /// The model the round started from is broken.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    /// The study's arithmetic is impossible.
    #[error(transparent)]
    Grid(#[from] GridError),
}

impl From<StoreError> for AggregationError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Io { .. } = error { Self::Disk(error) } else { Self::Store(error) }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregated {
    /// The new model.
    pub model: BlobRef,
    /// How the updates lay to their mean.
    pub movement: Movement,
    /// What makes the new model of the one the round started from.
    pub delta: BlobRef,
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
    /// How updates are told.
    pub wire: Wire,
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
        let (fixed_point, wire) = (study.federation.fixed_point, study.federation.wire);
        Self { lane, round, manifest, fixed_point, wire, start, contributions }
    }

    /// Takes the sum and stores the new model. All of it runs on blocking threads, and on all processors.
    ///
    /// # Errors
    /// When a stored blob is gone or altered, or the disk is full.
    pub(crate) async fn run(self, store: &BlobStore) -> Result<Aggregated, AggregationError> {
        let store = store.clone();
        aside(move || self.sum(&store)).await?
    }

    #[tracing::instrument(level = "debug", name = "aggregate", skip_all, fields(lane = %self.lane, sites = self.contributions.len()))]
    fn sum(&self, store: &BlobStore) -> Result<Aggregated, AggregationError> {
        let grid = Grid::new(self.fixed_point)?;
        let mut updates = Updates::open(&self.contributions, self.wire, self.coordinates(), grid, store)?;
        let model = NextModel::begin(self, grid, store)?;
        let mut delta = Delta::begin(self, grid, store)?;
        // What was read is only believed once all of it has its digest; until then the new model has no name.
        let (sound, summed) =
            rayon::join(|| model.verify_start(), || every_wave(&mut updates, &model, &mut delta));
        let moved = summed?;
        sound?;
        updates.verify()?;
        let movement = moved.figures(&self.contributions, self.fixed_point.scale());
        let (model, delta) = rayon::join(|| model.finish(), || delta.finish());
        Ok(Aggregated { model: model?, movement, delta: delta? })
    }

    fn coordinates(&self) -> usize {
        self.manifest.iter().map(TensorSpec::values).sum()
    }
}

/// Sums one wave while the next is read.
fn every_wave(
    updates: &mut Updates<'_>,
    model: &NextModel<'_>,
    delta: &mut Delta,
) -> Result<Moved, AggregationError> {
    let mut moved = Moved::default();
    let (mut wave, mut next) = (Wave::default(), Wave::default());
    updates.read(&mut wave)?;
    while !wave.is_empty() {
        let (read, summed) = rayon::join(|| updates.read(&mut next), || model.sum(&wave));
        let summed = summed.map_err(|error| updates.or_damaged(error))?;
        for block in &summed {
            moved.add(&block.moved);
            delta.append(block)?;
        }
        read?;
        std::mem::swap(&mut wave, &mut next);
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::TensorKind;
    use consilium_domain::{Arm, Fold, Modality};
    use consilium_privacy::{Accumulator, LocalUpdate, UpdatePayload, apply_delta};
    use consilium_weights::Weights;

    use super::*;

    const FIXED_POINT: FixedPoint = FixedPoint { clip: 64, fraction_bits: 24 };
    const START: [f32; 3] = [1.0, -2.0, 0.5];

    fn manifest() -> Arc<[TensorSpec]> {
        vec![TensorSpec { name: "head".into(), shape: vec![3], kind: TensorKind::LinearBias }].into()
    }

    /// What a site sends after it has changed the model by `change`.
    async fn contribution(name: &str, change: [f32; 3], cases: u32, store: &BlobStore) -> Contribution {
        let after: Vec<f32> = START.iter().zip(change).map(|(start, change)| start + change).collect();
        let update = LocalUpdate::between(&START, after, cases).unwrap();
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
            wire: Wire::F32,
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
        // (-1, 3, -1/4) / 4 is the mean; that of the site with three patients lies close to it.
        let cosine = |site: &str| forwards.movement.sites[&site.parse().unwrap()].cosine.unwrap();
        assert!((forwards.movement.norm - 10.0625f64.sqrt() / 4.0).abs() < 1e-9, "{:?}", forwards.movement);
        assert!(cosine("a") < 0.0 && cosine("b") > 0.9, "{:?}", forwards.movement);
        let model =
            Weights::from_safetensors(&store.read(&forwards.model).await.unwrap(), manifest()).unwrap();
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

    /// Tensors whose names are not in the order of the manifest, and more coordinates than a wave of one block.
    fn large_manifest() -> Arc<[TensorSpec]> {
        let tensor = |name: &str, values| TensorSpec {
            name: name.into(),
            shape: vec![values],
            kind: TensorKind::LinearBias,
        };
        vec![tensor("stem", 70_001), tensor("body", 3), tensor("head", 40_000)].into()
    }

    fn noise(length: usize, size: f32, seed: u64) -> Vec<f32> {
        let mut stream = consilium_domain::Seed::from_number(seed).stream();
        (0..length).map(|_| stream.between(-1.0, 1.0) as f32 * size).collect()
    }

    /// The way before: whole payloads, whole sums, a whole model.
    fn at_once(plain: &[(Vec<u8>, u32)], start: &Weights) -> Vec<u8> {
        let grid = Grid::new(FIXED_POINT).unwrap();
        let mut sum = Accumulator::new(start.values().len(), grid);
        for (bytes, cases) in plain {
            sum.add(&UpdatePayload::parse(bytes, start.values().len(), grid).unwrap(), *cases).unwrap();
        }
        let values = sum.apply(start.values()).unwrap();
        Weights::new(start.manifest().clone(), values).unwrap().to_safetensors()
    }

    #[tokio::test]
    async fn block_by_block_is_the_same_file_as_all_at_once_plain_or_packed() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let grid = Grid::new(FIXED_POINT).unwrap();
        let manifest = large_manifest();
        let values = noise(110_004, 1.0, 1);
        let start = Weights::new(manifest.clone(), values.clone()).unwrap();
        let (mut plain, mut sent, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        for site in 0..5u32 {
            let (change, cases) =
                (noise(values.len(), 0.01 * (site + 1) as f32, 9 + u64::from(site)), 7 * site + 1);
            let quantised = || {
                LocalUpdate::between(&vec![0.0; change.len()], change.clone(), cases)
                    .unwrap()
                    .clip(grid)
                    .quantise()
            };
            let bytes = quantised().seal().into_parts().0;
            let packed = quantised().pack(Wire::F32, None).unwrap().envelope.into_parts().0;
            assert!(packed.len() < bytes.len() * 3 / 4, "{} of {}", packed.len(), bytes.len());
            plain.push((bytes.clone(), cases));
            for (list, bytes) in
                [(&mut sent, &packed), (&mut mixed, if site % 2 == 0 { &bytes } else { &packed })]
            {
                let update = store.insert(bytes.clone()).await.unwrap();
                list.push(Contribution { site: format!("site-{site}").parse().unwrap(), update, cases });
            }
        }
        let whole = at_once(&plain, &start);
        let expected = BlobRef::of(&whole);
        for contributions in [sent, mixed] {
            let start = store.insert(start.to_safetensors()).await.unwrap();
            let aggregation = aggregation(contributions, &store).await;
            let aggregation = Aggregation { manifest: manifest.clone(), start, ..aggregation };
            let aggregated = aggregation.run(&store).await.unwrap();
            assert_eq!(aggregated.model, expected);
            let (delta, mut made) = (store.read(&aggregated.delta).await.unwrap(), values.clone());
            apply_delta(&delta[..], Wire::F32, grid, &mut made).unwrap();
            assert_eq!(Weights::new(manifest.clone(), made).unwrap().to_safetensors(), whole);
        }
    }

    #[tokio::test]
    async fn every_wire_is_summed_and_no_other_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let grid = Grid::new(FIXED_POINT).unwrap();
        for wire in [Wire::Bf16, Wire::Int8] {
            let update = LocalUpdate::between(&[0.0; 3], vec![0.5, 0.0, -1.0], 4).unwrap();
            let packed = update.clip(grid).quantise().pack(wire, None).unwrap().envelope.into_parts().0;
            let update = store.insert(packed).await.unwrap();
            let sent = Contribution { site: "a".parse().unwrap(), update, cases: 4 };
            let aggregation = Aggregation { wire, ..aggregation(vec![sent.clone()], &store).await };
            let aggregated = aggregation.run(&store).await.unwrap();
            let model = store.read(&aggregated.model).await.unwrap();
            let model = Weights::from_safetensors(&model, manifest()).unwrap();
            let (delta, mut made) = (store.read(&aggregated.delta).await.unwrap(), START.to_vec());
            apply_delta(&delta[..], wire, grid, &mut made).unwrap();
            assert_eq!(made, model.values(), "who has the model before needs no other");
            for (value, expected) in model.values().iter().zip([1.5, -2.0, -0.5]) {
                assert!((value - expected).abs() < 0.01, "{wire:?}: {value}");
            }
            let error = super::tests::aggregation(vec![sent], &store).await.run(&store).await.unwrap_err();
            assert!(matches!(error, AggregationError::Payload { source: PayloadError::Wire { .. }, .. }));
        }
    }

    #[tokio::test]
    async fn a_unit_beyond_the_clip_and_a_model_of_another_lane_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let good = contribution("a", [0.5, 0.0, -1.0], 1, &store).await;
        let mut bytes = store.read(&good.update).await.unwrap();
        *bytes.last_mut().unwrap() = 0x7f;
        let update = store.insert(bytes).await.unwrap();
        let bad = Contribution { site: "bad".parse().unwrap(), update, cases: 1 };
        let error = aggregation(vec![good.clone(), bad], &store).await.run(&store).await.unwrap_err();
        let AggregationError::Payload { site, source } = error else { panic!("{error}") };
        assert!(site.to_string() == "bad" && matches!(source, PayloadError::BeyondClip { index: 2, .. }));
        let start = store.insert(b"no model".to_vec()).await.unwrap();
        let foreign = Aggregation { start, ..aggregation(vec![good], &store).await };
        assert!(matches!(foreign.run(&store).await, Err(AggregationError::Model { .. })));
        assert_eq!(
            std::fs::read_dir(dir.path().join("incoming")).unwrap().count(),
            0,
            "no half model is left"
        );
    }
}
