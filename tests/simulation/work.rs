//! Stand-ins for the daemons' heavy work: a "training" that is a draw of random numbers, sealed by the real
//! privacy types; scores that fit the cohort; and the real sum over a closed round.
//!
//! Everything is a function of (site, lane, round, model, learning rate), so a repeated order gives the same answer.

use std::collections::BTreeMap;

use consilium_domain::{
    Arm, BlobRef, ClassCounts, ClinicalBaseline, Coefficients, CohortSummary, Digest, Fold, SiteId, Study,
    Task,
};
use consilium_metrics::{LogisticSums, ScoreHistogram, ScoreSums};
use consilium_privacy::{Accumulator, Grid, LocalUpdate, UpdatePayload, most_update_bytes};
use consilium_protocol::coordinator::{Contribution, FirstModels, Opening};
use consilium_protocol::{
    BaselineOutcome, FusionDetail, FusionOutcome, GroupScores, Outcome, ScoringDetail, ScoringOutcome,
    TrainingOutcome,
};

use crate::scene::BINS;

/// Weights that train in an arm: the arms differ, so that an update of one cannot pass for one of the other.
const fn coordinates(arm: Arm) -> usize {
    match arm {
        Arm::Random | Arm::Medicalnet => 6,
        Arm::Spottune => 8,
    }
}

/// Every blob anybody ever made, by digest. That a blob is *where* it is needed is the world's business.
#[derive(Default)]
pub(crate) struct Store(BTreeMap<Digest, Vec<u8>>);

impl Store {
    fn put(&mut self, bytes: Vec<u8>) -> BlobRef {
        let blob = BlobRef::of(&bytes);
        self.0.insert(blob.digest, bytes);
        blob
    }

    fn bytes(&self, blob: BlobRef) -> &[u8] {
        self.0.get(&blob.digest).expect("nobody refers to a blob before it is made")
    }

    fn model(&self, blob: BlobRef) -> Vec<f32> {
        let (weights, _) = self.bytes(blob).as_chunks();
        weights.iter().map(|weight| f32::from_le_bytes(*weight)).collect()
    }

    fn put_model(&mut self, weights: &[f32]) -> BlobRef {
        self.put(weights.iter().flat_map(|weight| weight.to_le_bytes()).collect())
    }
}

/// The first event's content for `study`, its models in the store.
pub(crate) fn opening(study: Study, store: &mut Store) -> Opening {
    let base = study.needs_base().then(|| store.put(b"backbone".to_vec()));
    let mut models = FirstModels { base, ..FirstModels::default() };
    for &arm in &study.arms {
        let first = if arm == Arm::Random { 0.5 } else { -0.5 };
        models.initial.insert(arm, store.put_model(&vec![first; coordinates(arm)]));
        let most = most_update_bytes(study.federation.wire, coordinates(arm));
        models.update_bytes.insert(arm, most);
    }
    Opening { study, models }
}

/// What `site` answers to `task`.
pub(crate) fn outcome(
    study: &Study,
    site: &SiteId,
    cohort: &CohortSummary,
    task: &Task,
    store: &mut Store,
) -> Outcome {
    match task {
        Task::Train { lane, model, reductions, .. } => {
            let cases = cohort.counts(lane.modality).training(lane.fold).total();
            let rate = study.training.reduced(*reductions).learning_rate;
            Outcome::Trained(trained(study, site, task, cases, rate, *model, store))
        }
        Task::Validate { lane, .. } => {
            let patients = cohort.counts(lane.modality).validation(lane.fold);
            in_detail(scored(study, site, task, patients))
        }
        Task::PredictHoldout { lane, .. } => {
            in_detail(scored(study, site, task, cohort.counts(lane.modality).holdout))
        }
        Task::Fuse { .. } => {
            let detail = FusionDetail {
                sums: vec![None],
                comparisons: Vec::new(),
                folds: Vec::new(),
                fewest_per_score: 1,
            };
            Outcome::FusedInDetail(fused(study, site, cohort, task), detail)
        }
        Task::FitBaseline { coefficients, .. } => {
            let sums = coefficients.iter().zip(0..).map(|(at, fold)| {
                regressed(study, site, at, cohort.counts(study.modalities[0]).training(Fold(fold)))
            });
            Outcome::Regressed(sums.collect())
        }
        Task::ScoreBaseline { .. } => {
            let FusionOutcome { mut groups, seconds } = fused(study, site, cohort, task);
            let detail = FusionDetail {
                sums: vec![None],
                comparisons: Vec::new(),
                folds: Vec::new(),
                fewest_per_score: 1,
            };
            let scores = groups.pop().expect("one modality, so one group");
            Outcome::BaselineScored(BaselineOutcome { scores, detail, seconds })
        }
    }
}

/// Sums over patients whose ages and sexes are drawn.
fn regressed(study: &Study, site: &SiteId, at: &Coefficients, patients: ClassCounts) -> LogisticSums {
    let mut stream = study.seed().derive(&format!("{site}/ages")).stream();
    let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
    for (count, positive) in [(patients.methylated, true), (patients.unmethylated, false)] {
        for _ in 0..count {
            let features = [stream.normal(), f64::from(u8::from(stream.uniform() < 0.5))];
            sums.record(at, &features, 0.0, positive).expect("an age and a sex");
        }
    }
    sums
}

/// The scores with sums over as many patients, all scored one half.
fn in_detail(scoring: ScoringOutcome) -> Outcome {
    let totals = scoring.scores.totals();
    let mut sums = ScoreSums::new();
    for (count, positive) in [(totals.positives, true), (totals.negatives, false)] {
        (0..count).for_each(|_| sums.record(0.5, positive).expect("a probability"));
    }
    Outcome::ScoredInDetail(scoring, ScoringDetail { sums: Some(sums), routing: None, fewest_per_score: 1 })
}

fn trained(
    study: &Study,
    site: &SiteId,
    task: &Task,
    cases: u32,
    rate: f64,
    model: BlobRef,
    store: &mut Store,
) -> TrainingOutcome {
    let before = store.model(model);
    let mut stream = study.seed().derive(&format!("{site}/{task}")).stream();
    let after: Vec<f32> = before.iter().map(|weight| weight + stream.between(-rate, rate) as f32).collect();
    let update = LocalUpdate::between(&before, after, cases).expect("a sound update");
    let (payload, summary) = update.clip(grid(study)).quantise().seal().into_parts();
    TrainingOutcome {
        update: store.put(payload),
        cases,
        mean_loss: stream.uniform(),
        tuned_share: None,
        norm: summary.norm,
        saturated: summary.saturated,
        seconds: 1.0,
    }
}

fn scored(study: &Study, site: &SiteId, task: &Task, patients: ClassCounts) -> ScoringOutcome {
    let scores = histogram(study, &format!("{site}/{task}"), patients);
    let mean_loss = study.seed().derive(&format!("{site}/{task}/loss")).stream().between(0.6, 0.8);
    ScoringOutcome { scores, loss_sum: mean_loss * f64::from(patients.total()), seconds: 1.0 }
}

fn fused(study: &Study, site: &SiteId, cohort: &CohortSummary, task: &Task) -> FusionOutcome {
    // One modality, so one group.
    let counts = cohort.counts(study.modalities[0]);
    let trained: ClassCounts = counts.folds.iter().copied().sum();
    let trained = if study.trains(site) { trained } else { ClassCounts::default() };
    let group = GroupScores {
        validation: histogram(study, &format!("{site}/{task}/validation"), trained),
        holdout: histogram(study, &format!("{site}/{task}/holdout"), counts.holdout),
    };
    FusionOutcome { groups: vec![group], seconds: 1.0 }
}

fn histogram(study: &Study, purpose: &str, patients: ClassCounts) -> ScoreHistogram {
    let mut stream = study.seed().derive(purpose).stream();
    let mut scores = ScoreHistogram::new(BINS).expect("a sensible number of bins");
    for (count, positive) in [(patients.methylated, true), (patients.unmethylated, false)] {
        for _ in 0..count {
            scores.record(stream.uniform() as f32, positive).expect("a probability");
        }
    }
    scores
}

/// The next model: the sum in the order of `arrivals`, added to `start`.
pub(crate) fn aggregate<'a>(
    study: &Study,
    start: BlobRef,
    arrivals: impl Iterator<Item = &'a Contribution>,
    store: &mut Store,
) -> BlobRef {
    let start = store.model(start);
    let mut sum = Accumulator::new(start.len(), grid(study));
    for contribution in arrivals {
        let bytes = store.bytes(contribution.update);
        let payload = UpdatePayload::parse(bytes, start.len(), grid(study)).expect("a sealed update");
        sum.add(&payload, contribution.cases).expect("an update of this lane");
    }
    let next = sum.apply(&start).expect("a model of this lane");
    store.put_model(&next)
}

fn grid(study: &Study) -> Grid {
    Grid::new(study.federation.fixed_point).expect("the study is checked")
}
