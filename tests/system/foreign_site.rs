//! A hospital whose program is of another release: it says what that release said, and understands nothing newer.
//!
//! Its words are frozen copies of the messages of version 3, and the first of them is the very bytes. It has no
//! patients: it invents counts, updates that change nothing, and scores.

use std::net::SocketAddr;
use std::path::Path;

use consilium_domain::network::TensorSpec;
use consilium_domain::{
    BlobRef, ClassCounts, CohortSummary, Digest, Fingerprint, Modality, ModalityCounts, ModalityGroup,
    OrderId, SiteId, Study, StudyHash, Task, WorkOrder,
};
use consilium_metrics::ScoreHistogram;
use consilium_privacy::{Grid, LocalUpdate};
use consilium_protocol::{
    FusionOutcome, GroupScores, ModelDelta, Outcome, Rejection, ScoringOutcome, SignedHead, TrainingOutcome,
};
use consilium_transport::{BlobStore, Connection, ControlReceiver, ControlSender, Identity, Tuning, connect};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Serialize, Serializer};

/// Patients of each class in every fold and in the hold-out.
const EACH: u32 = 3;

/// Bytes that are sent as they are.
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// What a site of version 3 says after its hello.
#[derive(Serialize)]
#[allow(dead_code, reason = "what it never says keeps the numbers of what it says")]
enum Said {
    Hello,
    Enlist { study: StudyHash, cohort: CohortSummary },
    Ready,
    Answer { order: OrderId, outcome: Outcome },
    Failed { order: OrderId, reason: String },
    Fingerprints { study: StudyHash, part: u32, last: bool, cases: Vec<Fingerprint> },
}

/// What a site of version 3 understands.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "fields are read off the wire whether they are used or not")]
pub(crate) enum Heard {
    Welcome {
        version: u16,
        features: u64,
        site: SiteId,
        study: String,
        base: Option<BlobRef>,
        standing: Standing,
    },
    Enlisted,
    Work(WorkOrder),
    Accepted {
        order: OrderId,
    },
    Rejected {
        order: Option<OrderId>,
        rejection: Rejection,
    },
    Finished,
    Halted {
        reason: String,
    },
    Duplicates {
        of: Digest,
        exclude: Vec<u32>,
    },
    // What version 4 has brought: a later site agrees to speak that.
    Withdrawn,
    Waiting,
    Renewed {
        chain: String,
    },
    RenewalRefused {
        reason: String,
    },
    AuditHead(SignedHead),
    Countersigned(SignedHead),
    Delta(ModelDelta),
}

/// Where a site of version 3 could stand.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "fields are read off the wire whether they are used or not")]
pub(crate) enum Standing {
    Invited,
    Awaited,
    Fingerprinted { of: Digest },
    Enlisted,
}

/// A connected site of another release.
pub(crate) struct ForeignSite {
    connection: Connection,
    sender: ControlSender,
    receiver: ControlReceiver,
}

impl ForeignSite {
    /// Connects with the kit in `kit` and says `hello`.
    pub(crate) async fn greet(coordinator: SocketAddr, kit: &Path, hello: Vec<u8>) -> Self {
        let identity = Identity::load(kit).unwrap();
        let connection = connect(coordinator, &identity, Tuning::default()).await.unwrap();
        let (mut sender, receiver) = connection.open_control().await.unwrap();
        sender.send(&Raw(hello)).await.unwrap();
        Self { connection, sender, receiver }
    }

    /// The next thing it is told.
    pub(crate) async fn hear(&mut self) -> Heard {
        self.receiver.receive().await.expect("a message of version 3").expect("the coordinator goes on")
    }

    /// Takes part in a study to its end; the version and the abilities that were agreed.
    pub(crate) async fn take_part(mut self) -> (u16, u64) {
        let Heard::Welcome { version, features, study, .. } = self.hear().await else { panic!("a welcome") };
        let study = Study::from_json(&study).unwrap();
        self.sender.send(&Said::Enlist { study: study.hash(), cohort: cohort(&study) }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        loop {
            match self.hear().await {
                Heard::Enlisted | Heard::Accepted { .. } => {
                    self.sender.send(&Raw(vec![2, 0, 0, 0])).await.unwrap();
                }
                Heard::Work(order) => {
                    let outcome = self.work(&study, &order.task, &store).await;
                    self.sender.send(&Said::Answer { order: order.id, outcome }).await.unwrap();
                }
                // The order that follows can be carried out without.
                Heard::Delta(_) if version >= 4 => {}
                Heard::Finished => return (version, features),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn work(&self, study: &Study, task: &Task, store: &BlobStore) -> Outcome {
        match task {
            Task::Train { lane, model, .. } => {
                self.connection.fetch(*model, store).await.unwrap();
                let values = study.trainable_tensors(lane.arm).iter().map(TensorSpec::values).sum();
                let cases = 2 * EACH * u32::from(study.evaluation.folds - 1);
                let same = vec![0.0; values];
                let grid = Grid::new(study.federation.fixed_point).unwrap();
                let update = LocalUpdate::between(&same, same.clone(), cases).unwrap();
                let (payload, summary) = update.clip(grid).quantise().seal().into_parts();
                let update = store.insert(payload).await.unwrap();
                self.connection.upload(update, store).await.unwrap();
                let (norm, saturated) = (summary.norm, summary.saturated);
                Outcome::Trained(TrainingOutcome {
                    update,
                    cases,
                    mean_loss: 0.5,
                    tuned_share: None,
                    norm,
                    saturated,
                    seconds: 0.1,
                })
            }
            Task::Validate { .. } | Task::PredictHoldout { .. } => {
                Outcome::Scored(ScoringOutcome { scores: scores(study, EACH), loss_sum: 1.0, seconds: 0.1 })
            }
            Task::Fuse { .. } => {
                let folds = u32::from(study.evaluation.folds);
                let group =
                    GroupScores { validation: scores(study, folds * EACH), holdout: scores(study, EACH) };
                let groups = vec![group; ModalityGroup::of_study(&study.modalities).len()];
                Outcome::Fused(FusionOutcome { groups, seconds: 0.1 })
            }
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => {
                unreachable!("the studies of this site have no baseline")
            }
        }
    }
}

fn cohort(study: &Study) -> CohortSummary {
    let each = ClassCounts { methylated: EACH, unmethylated: EACH };
    let counts = ModalityCounts { folds: vec![each; study.evaluation.folds.into()], holdout: each };
    CohortSummary { modalities: [(Modality::T1gd, counts)].into(), excluded: Default::default() }
}

/// So many patients of either class, all scored right.
fn scores(study: &Study, each: u32) -> ScoreHistogram {
    let (mut positives, mut negatives) =
        (vec![0; study.evaluation.bins.into()], vec![0; study.evaluation.bins.into()]);
    *positives.last_mut().unwrap() = each;
    negatives[0] = each;
    ScoreHistogram::from_counts(positives, negatives).unwrap()
}
