//! Answers that wait for their acknowledgement, on the disk: what was computed once is not computed again, whatever
//! happens to the process or the power.
//!
//! An answer is kept here before anything of it leaves, and deleted once the coordinator has accepted or refused it.
//! After a restart the participant reports what lies here before it asks for new work; the coordinator counts each
//! order once, and says so. Sealed updates lie in a store of their own, so that whatever nobody names any more can be deleted from it.

use std::io;
use std::path::{Path, PathBuf};

use consilium_domain::{BlobRef, OrderId, StudyHash, WorkOrder};
use consilium_protocol::Outcome;
use consilium_transport::{BlobStore, StoreError};
use serde::{Deserialize, Serialize};

use crate::durable::{self, Draft, SealedError};

/// The sealed updates, beside the answers that name them.
const UPDATES: &str = "updates";
/// The answers.
const ANSWERS: &str = "answers";

/// Why answers cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The disk refuses.
    #[error("the outbox {path} cannot be {action}: {source}; check the disk's space and permissions")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The sealed updates.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An answer and the order it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    order: WorkOrder,
    outcome: Outcome,
}

/// The answers of this site that were not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    folder: PathBuf,
    updates: BlobStore,
    /// Few: one for each lane at the very most, and one as a rule.
    answers: Vec<Answer>,
}

impl Outbox {
    /// Opens the outbox in `folder`. What a crash has left half done is deleted: its order was not answered.
    pub(crate) async fn open(folder: &Path) -> Result<Self, OutboxError> {
        let updates = BlobStore::open(&folder.join(UPDATES))?;
        updates.discard_partials()?;
        let mut outbox = Self { folder: folder.join(ANSWERS), updates, answers: Vec::new() };
        let names = durable::names(&outbox.folder).map_err(outbox.failed("listed"))?;
        for name in names {
            let path = outbox.folder.join(&name);
            match read(&path) {
                Ok(Some(answer)) if file_name(&answer.order) == name => outbox.answers.push(answer),
                // It is worked on again, as if it had never been finished.
                Ok(_) | Err(SealedError::Damaged) => {
                    tracing::warn!(path = %path.display(), "an answer that waited here is damaged; its work is done again");
                    durable::remove(&path).map_err(outbox.failed("emptied"))?;
                }
                Err(SealedError::Io(source)) => return Err(outbox.failed("read")(source)),
            }
        }
        let named: Vec<_> = outbox.answers.iter().filter_map(|answer| answer.outcome.blob()).collect();
        outbox.updates.retain(|digest| named.iter().any(|blob| blob.digest == *digest))?;
        if !outbox.answers.is_empty() {
            tracing::info!(waiting = outbox.answers.len(), "answers of before wait for the coordinator");
        }
        Ok(outbox)
    }

    /// Where sealed updates lie until they are acknowledged.
    pub(crate) const fn updates(&self) -> &BlobStore {
        &self.updates
    }

    /// Keeps the answer to `order`. When this returns, it survives a power cut.
    pub(crate) async fn keep(
        &mut self,
        order: &WorkOrder,
        outcome: &Outcome,
        payload: Option<Vec<u8>>,
    ) -> Result<(), OutboxError> {
        if let Some(payload) = payload {
            self.updates.insert(payload).await?;
        }
        let answer = Answer { order: order.clone(), outcome: outcome.clone() };
        let path = self.folder.join(file_name(order));
        write(&path, &answer).map_err(self.failed("filled"))?;
        self.answers.push(answer);
        Ok(())
    }

    /// The answers that wait for the coordinator of `study`, each with its update whole. What waited for another is of no
    /// use any more: a site serves one study at a time.
    pub(crate) async fn of_study(
        &mut self,
        study: StudyHash,
    ) -> Result<Vec<(OrderId, Outcome)>, OutboxError> {
        self.forget(|answer| answer.order.study != study).await?;
        let mut whole = Vec::new();
        for Answer { order, outcome } in self.answers.clone() {
            let update = match outcome.blob() {
                Some(blob) => self.is_whole(blob).await,
                None => Ok(()),
            };
            match update {
                Ok(()) => whole.push((order.id, outcome)),
                Err(StoreError::Io { action, path, source }) => {
                    return Err(OutboxError::Io { action, path, source });
                }
                Err(problem) => {
                    tracing::warn!(order = %order.task, %problem, "a sealed update is damaged; its work is done again");
                    self.settle(order.id).await?;
                }
            }
        }
        Ok(whole)
    }

    /// The answer to `order` that waits here, and all of the order.
    pub(crate) fn waiting(&self, order: OrderId) -> Option<(&WorkOrder, &Outcome)> {
        let answer = self.answers.iter().find(|answer| answer.order.id == order)?;
        Some((&answer.order, &answer.outcome))
    }

    async fn is_whole(&self, blob: BlobRef) -> Result<(), StoreError> {
        self.updates.read(&blob).await.map(drop)
    }

    /// `order` was accepted or refused: its answer is not kept any longer.
    pub(crate) async fn settle(&mut self, order: OrderId) -> Result<(), OutboxError> {
        self.forget(|answer| answer.order.id == order).await
    }

    /// The study is over: none of its answers is of use to anybody.
    pub(crate) async fn study_over(&mut self, study: StudyHash) -> Result<(), OutboxError> {
        self.forget(|answer| answer.order.study == study).await
    }

    /// The answer first: an update that nobody names is deleted at the next start, an answer whose update is gone would
    /// have to be found out.
    async fn forget(&mut self, which: impl Fn(&Answer) -> bool) -> Result<(), OutboxError> {
        let (forgotten, kept): (Vec<_>, Vec<_>) = self.answers.drain(..).partition(which);
        self.answers = kept;
        for Answer { order, outcome } in forgotten {
            let path = self.folder.join(file_name(&order));
            durable::remove(&path).map_err(self.failed("emptied"))?;
            let named = |blob: BlobRef| self.answers.iter().any(|kept| kept.outcome.blob() == Some(blob));
            if let Some(blob) = outcome.blob().filter(|blob| !named(*blob)) {
                self.updates.remove(&blob.digest).await?;
            }
        }
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> OutboxError + use<> {
        let path = self.folder.clone();
        move |source| OutboxError::Io { action, path: path.clone(), source }
    }
}

fn file_name(order: &WorkOrder) -> String {
    order.id.0.to_string()
}

fn write(path: &Path, answer: &Answer) -> io::Result<()> {
    let mut draft = Draft::begin(path)?;
    serde_json::to_writer(&mut draft, answer)?;
    draft.seal()
}

fn read(path: &Path) -> Result<Option<Answer>, SealedError> {
    let Some(content) = durable::open_sealed(path)? else { return Ok(None) };
    serde_json::from_reader(content).map(Some).map_err(|_| SealedError::Damaged)
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Arm, Fold, Lane, Modality, Round, Task};
    use consilium_protocol::TrainingOutcome;

    use super::*;

    fn study(byte: &str) -> StudyHash {
        serde_json::from_str(&format!("\"{}\"", byte.repeat(32))).unwrap()
    }

    fn training(fold: u8, round: u16) -> WorkOrder {
        let lane = Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(fold) };
        let model = BlobRef::of(&round.to_le_bytes());
        let task = Task::Train { lane, round: Round(round), model, classes: None, reductions: 0 };
        WorkOrder::new(study("ab"), task)
    }

    fn trained(update: &[u8]) -> Outcome {
        Outcome::Trained(TrainingOutcome {
            update: BlobRef::of(update),
            cases: 4,
            mean_loss: 0.1 + 0.2,
            tuned_share: None,
            norm: 1.0 / 3.0,
            saturated: 0,
            seconds: 1.0,
        })
    }

    /// The orders whose answers wait.
    async fn waiting(outbox: &mut Outbox) -> Vec<OrderId> {
        outbox.of_study(study("ab")).await.unwrap().into_iter().map(|(order, _)| order).collect()
    }

    async fn kept(outbox: &mut Outbox, order: &WorkOrder, update: &[u8]) {
        outbox.keep(order, &trained(update), Some(update.to_vec())).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_waits_through_restarts_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let order = training(0, 1);
        kept(&mut Outbox::open(dir.path()).await.unwrap(), &order, b"update").await;
        let mut outbox = Outbox::open(dir.path()).await.unwrap();
        assert_eq!(outbox.of_study(study("ab")).await.unwrap(), [(order.id, trained(b"update"))]);
        assert_eq!(outbox.waiting(order.id), Some((&order, &trained(b"update"))));
        assert_eq!(outbox.waiting(training(1, 1).id), None);
        outbox.settle(order.id).await.unwrap();
        assert!(!outbox.updates().contains(&BlobRef::of(b"update").digest).await);
        assert_eq!(waiting(&mut Outbox::open(dir.path()).await.unwrap()).await, []);
    }

    #[tokio::test]
    async fn what_is_damaged_is_done_again() {
        for damage_answer in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let order = training(0, 1);
            let mut outbox = Outbox::open(dir.path()).await.unwrap();
            kept(&mut outbox, &order, b"update").await;
            let digits = BlobRef::of(b"update").digest.to_string();
            let update = dir.path().join(UPDATES).join(&digits[..2]).join(&digits[2..]);
            let answer = outbox.folder.join(file_name(&order));
            std::fs::write(if damage_answer { answer } else { update }, b"rotten").unwrap();
            let mut outbox = Outbox::open(dir.path()).await.unwrap();
            assert_eq!(waiting(&mut outbox).await, []);
            assert!(!outbox.updates().contains(&BlobRef::of(b"update").digest).await);
            kept(&mut outbox, &order, b"update").await;
            assert_eq!(waiting(&mut Outbox::open(dir.path()).await.unwrap()).await, [order.id]);
        }
    }

    #[tokio::test]
    async fn what_nobody_asks_for_any_more_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path()).await.unwrap();
        let (first, other) = (training(0, 1), training(1, 1));
        kept(&mut outbox, &first, b"first").await;
        kept(&mut outbox, &other, b"other").await;
        assert_eq!(waiting(&mut outbox).await.len(), 2);
        assert_eq!(outbox.of_study(study("cd")).await.unwrap(), [], "the site serves another study by now");
        assert!(Outbox::open(dir.path()).await.unwrap().answers.is_empty());
        kept(&mut outbox, &first, b"first").await;
        outbox.study_over(study("ab")).await.unwrap();
        assert!(Outbox::open(dir.path()).await.unwrap().answers.is_empty());
        let (whole, half) = (b"whole".to_vec(), b"half".to_vec());
        outbox.updates.insert(half).await.unwrap();
        kept(&mut outbox, &first, &whole).await;
        let outbox = Outbox::open(dir.path()).await.unwrap();
        assert!(outbox.updates().contains(&BlobRef::of(&whole).digest).await);
        assert!(
            !outbox.updates().contains(&BlobRef::of(b"half").digest).await,
            "a crash came before its answer"
        );
    }

    #[tokio::test]
    async fn two_answers_may_name_one_update() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path()).await.unwrap();
        let (first, other) = (training(0, 1), training(1, 1));
        kept(&mut outbox, &first, b"same").await;
        kept(&mut outbox, &other, b"same").await;
        outbox.settle(first.id).await.unwrap();
        assert_eq!(waiting(&mut outbox).await, [other.id]);
    }
}
