//! A tiny study driven through the protocol machine, for the tests of this crate: two sites, one arm, one modality.

use std::path::Path;
use std::sync::Arc;

use consilium_certs::Authority;
use consilium_domain::network::{Depth, NetworkSpec, TensorSpec, initial_values};
use consilium_domain::{
    Arm, BlobRef, ClassCounts, ClinicalBaseline, Coefficients, CohortSummary, Digest, Duplicates, Lane,
    Modality, ModalityCounts, ModalityGroup, Round, Seed, SiteId, Study, Task,
};
use consilium_metrics::{LogisticSums, ScoreHistogram};
use consilium_protocol::coordinator::{
    Coordinator, Effect, Event, FirstModels, Movement, Opening, SiteMovement,
};
use consilium_protocol::{
    BaselineOutcome, FusionDetail, FusionOutcome, GroupScores, Outcome, ScoringOutcome, Timestamp,
    TrainingOutcome,
};
use consilium_transport::{BlobStore, Identity};
use consilium_weights::{Weights, initial_trainable};

use crate::access::StudyAccess;
use crate::auditing::Audit;
use crate::conductor::Conductor;
use crate::event_log::EventLog;
use crate::notice::{NoticeFormat, Teller};

/// The length of an update.
pub(crate) const UPDATE_BYTES: u64 = 100;

const SITES: [&str; 2] = ["a", "b"];
/// Patients of each class in every fold and in the hold-out.
const EACH: u32 = 3;

pub(crate) fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

/// The sample study, cut down.
pub(crate) fn study() -> Study {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
    let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
    study.arms = vec![Arm::Random];
    study.modalities = vec![Modality::T1gd];
    study.network = NetworkSpec { depth: Depth::D10, width: 1 };
    study.training.rounds = 2;
    study.evaluation.folds = 2;
    study.evaluation.bins = 4;
    study.federation.sites = SITES.map(site).to_vec();
    study.federation.quorum = 1;
    study.federation.duplicates = Duplicates::Ignore;
    study.evaluation.baseline = ClinicalBaseline::None;
    study
}

/// The model of `round`, as safetensors.
pub(crate) fn model(lane: Lane, round: Round) -> Vec<u8> {
    let seed = Seed::from_number(7).derive(&format!("{lane} {round}"));
    initial_trainable(study().network, lane.arm, study().training.tuning(), &seed, Some(&base()))
        .unwrap()
        .to_safetensors()
}

/// The backbone of a pretrained arm.
pub(crate) fn base() -> Weights {
    let manifest: Arc<[TensorSpec]> = study().network.backbone_tensors().into();
    let seed = Seed::from_number(3);
    let values = manifest.iter().flat_map(|tensor| initial_values(tensor, &seed)).collect();
    Weights::new(manifest, values).unwrap()
}

/// A coordinator and its clock.
pub(crate) struct Scene {
    pub(crate) state: Coordinator,
    /// Everything that happened.
    pub(crate) events: Vec<(Timestamp, Event)>,
    now: Timestamp,
}

impl Scene {
    /// Nobody has come yet.
    pub(crate) fn enrolling() -> Self {
        Self::enrolling_in(study())
    }

    /// Nobody has come yet to `study`, made of [`study`].
    pub(crate) fn enrolling_in(study: Study) -> Self {
        let model = BlobRef::of(b"the first model");
        let models = FirstModels {
            base: study.needs_base().then(|| BlobRef::of(&base().to_safetensors())),
            initial: study.arms.iter().map(|&arm| (arm, model)).collect(),
            update_bytes: study.arms.iter().map(|&arm| (arm, UPDATE_BYTES)).collect(),
        };
        let now = Timestamp(1_000);
        let opening = Opening { study, models };
        let events = vec![(now, Event::Opened(Box::new(opening.clone())))];
        Self { state: Coordinator::open(now, opening), events, now }
    }

    /// Both sites train.
    pub(crate) fn running() -> Self {
        let mut scene = Self::enrolling();
        for name in SITES {
            scene.enlist(name);
        }
        scene
    }

    /// `study`, made of [`study`], is complete.
    pub(crate) fn finished_with(study: Study) -> Self {
        let mut scene = Self::enrolling_in(study);
        while scene.step() {}
        scene
    }

    /// The study is complete.
    pub(crate) fn finished() -> Self {
        Self::finished_with(study())
    }

    /// One more thing happens, a second later; false when nothing is left to happen.
    pub(crate) fn step(&mut self) -> bool {
        self.step_with(|outcome| outcome)
    }

    /// The same; `change` may alter the result of work.
    pub(crate) fn step_with(&mut self, change: impl FnOnce(Outcome) -> Outcome) -> bool {
        let absent = SITES.into_iter().find(|&name| {
            self.state.roster().member(&site(name)).is_some_and(|member| member.cohort.is_none())
        });
        if let Some(name) = absent {
            self.enlist(name);
            return true;
        }
        let Some(name) = SITES.into_iter().find(|&name| self.state.next_order(&site(name)).is_some()) else {
            return false;
        };
        self.answer(name, change);
        true
    }

    /// `name` does the work that waits for it; `change` may alter the result.
    pub(crate) fn answer(&mut self, name: &str, change: impl FnOnce(Outcome) -> Outcome) {
        let order = self.state.next_order(&site(name)).unwrap();
        let outcome = match &order.task {
            Task::Train { round, .. } => Outcome::Trained(self.trained(name, round.0)),
            Task::Validate { .. } | Task::PredictHoldout { .. } => {
                Outcome::Scored(ScoringOutcome { scores: scores(EACH), loss_sum: 1.0, seconds: 2.0 })
            }
            Task::Fuse { .. } => {
                let group = GroupScores { validation: scores(2 * EACH), holdout: scores(EACH) };
                let groups = ModalityGroup::of_study(&self.state.study().modalities).len();
                Outcome::Fused(FusionOutcome { groups: vec![group; groups], seconds: 3.0 })
            }
            Task::FitBaseline { coefficients, .. } => {
                Outcome::Regressed(coefficients.iter().map(regressed).collect())
            }
            Task::ScoreBaseline { .. } => {
                let scores = GroupScores { validation: scores(2 * EACH), holdout: scores(EACH) };
                let detail = FusionDetail {
                    sums: vec![None],
                    comparisons: Vec::new(),
                    folds: Vec::new(),
                    fewest_per_score: 1,
                };
                Outcome::BaselineScored(BaselineOutcome { scores, detail, seconds: 1.0 })
            }
        };
        let outcome = change(outcome);
        self.happen(Event::OrderAnswered { site: site(name), order: order.id, outcome });
    }

    /// `name` cannot do the work that waits for it.
    pub(crate) fn fail(&mut self, name: &str, reason: &str) {
        let order = self.state.next_order(&site(name)).unwrap().id;
        self.happen(Event::OrderFailed { site: site(name), order, reason: reason.into() });
    }

    /// `name` leaves the study.
    pub(crate) fn withdraw(&mut self, name: &str, reason: &str) {
        self.happen(Event::SiteWithdrew { site: site(name), reason: reason.into() });
    }

    /// What `name` says of its training.
    pub(crate) fn trained(&self, name: &str, round: u16) -> TrainingOutcome {
        let digest = Digest::of(format!("{name} {round}").as_bytes());
        TrainingOutcome {
            update: BlobRef { digest, bytes: UPDATE_BYTES },
            cases: 2 * EACH,
            mean_loss: 0.5,
            tuned_share: None,
            norm: 1.0,
            saturated: 0,
            seconds: 1.0,
        }
    }

    /// The blob rules over this state, with a conductor behind them; and the folder it writes to.
    pub(crate) async fn access(self) -> (StudyAccess, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = EventLog::open(&dir.path().join("log.sqlite")).await.unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let (audit, teller) = (audit(dir.path()), Teller::new(NoticeFormat::Json));
        let (conductor, desk) =
            Conductor::new(self.state, log, audit, (store, dir.path().to_owned()), teller);
        tokio::spawn(conductor.run());
        (StudyAccess::new(desk), dir)
    }

    /// The site comes and brings its patients.
    pub(crate) fn enlist(&mut self, name: &str) {
        self.happen(Event::SiteConnected { site: site(name), software: format!("{name} 1.0") });
        let each = ClassCounts { methylated: EACH, unmethylated: EACH };
        let counts = ModalityCounts { folds: vec![each; 2], holdout: each };
        let modalities = [(Modality::T1gd, counts)].into();
        let cohort = CohortSummary { modalities, excluded: Default::default() };
        self.happen(Event::SiteEnlisted { site: site(name), cohort });
    }

    /// Sums are taken at once: every model is as new as its round.
    fn happen(&mut self, event: Event) {
        self.now = self.now.plus_secs(1);
        self.events.push((self.now, event.clone()));
        for effect in self.state.handle(self.now, event).unwrap() {
            if let Effect::Aggregate { lane, round, .. } = effect {
                let model = BlobRef::of(&model(lane, round));
                // Two updates of norm 1 and equal weight at a right angle.
                let moved = SiteMovement { norm: 1.0, cosine: Some(0.5f64.sqrt()) };
                let sites = SITES.map(|name| (site(name), moved)).into();
                let movement = Some(Movement { norm: 0.5f64.sqrt(), sites });
                self.happen(Event::RoundAggregated { lane, round, model, movement, delta: None });
            }
        }
    }
}

/// An audit log below `dir`, with a kit beside it.
fn audit(dir: &Path) -> Audit {
    let kit = dir.join("kit");
    Authority::create("test").unwrap().issue_coordinator::<&str>(&[]).unwrap().write(&kit).unwrap();
    Audit::open(dir, &kit, Identity::load(&kit).unwrap()).unwrap()
}

/// Scores of `each` patients of either class, all on the right side of one half.
fn scores(each: u32) -> ScoreHistogram {
    ScoreHistogram::from_counts(vec![0, 0, 0, each], vec![each, 0, 0, 0]).unwrap()
}

/// The sums over a fold's training patients: older ones and men are methylated more often.
fn regressed(at: &Coefficients) -> LogisticSums {
    let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
    let rows = [
        (-0.5, 0.0, false),
        (1.0, 1.0, true),
        (0.25, 1.0, false),
        (0.5, 0.0, true),
        (0.75, 1.0, true),
        (0.0, 0.0, false),
    ];
    for (age, male, positive) in rows {
        sums.record(at, &[age, male], 0.0, positive).unwrap();
    }
    sums
}
