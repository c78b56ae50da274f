//! The worker of a dry site: waits as long as the work would take, then answers with what is drawn.
//!
//! Every draw is a function of the study's seed, the site and the task, so that an order which is worked on twice gets
//! the same answer, and a disturbed study ends with the models of a calm one. A pause and the policy's hours do not
//! stop it: a dry site has no machine that anybody else could want.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::{BlobRef, ClassCounts, Design, Label, ModalityGroup, SiteId, Study, Task, WorkOrder};
use consilium_metrics::ScoreHistogram;
use consilium_privacy::{Grid, LocalUpdate};
use consilium_protocol::{FusionOutcome, GroupScores, Outcome, ScoringOutcome, TrainingOutcome};
use consilium_transport::aside;
use tokio::sync::mpsc;

use super::scoring::{histogram, record};
use super::training::{TrainingWork, seal};
use super::{Done, Job, Loaded, Meter, WorkError};
use crate::dry_training::{DRY_STUDY, DryTraining};

/// By how much a drawn training changes a weight, at most: of the order of a real one's changes, which decides how well
/// updates pack.
const LARGEST_CHANGE: f64 = 1e-3;
/// Changes that are drawn; then they come again. More than a codec sees at once, and no multiple of that, so that updates pack
/// as if all had been drawn.
const DRAWN_CHANGES: usize = 100_003;
/// Steps that a long order is told in. Of a short one there is nothing to tell: it has one a second.
const MOST_STEPS: u32 = 32;
/// How much more probable a drawn score finds methylation in who is methylated.
const SEPARATION: f64 = 0.2;

/// A dry site's place of work.
pub(super) struct DryBench {
    pub(super) site: SiteId,
    pub(super) residuals: PathBuf,
    pub(super) training: DryTraining,
    pub(super) study: Option<Arc<Study>>,
    pub(super) meter: Meter,
}

impl DryBench {
    /// Works until nobody gives it anything any more.
    pub(super) async fn serve(
        mut self,
        mut jobs: mpsc::UnboundedReceiver<Job>,
        done: mpsc::UnboundedSender<Done>,
    ) {
        while let Some(job) = jobs.recv().await {
            let spent = self.planned(&job);
            let steps = u32::try_from(spent.as_secs()).unwrap_or(MOST_STEPS).clamp(1, MOST_STEPS);
            self.meter.begin(steps as usize);
            for _ in 0..steps {
                tokio::select! {
                    () = tokio::time::sleep(spent / steps) => self.meter.step(),
                    () = done.closed() => return,
                }
            }
            self.training.busy.add(spent);
            let worked = aside(move || {
                let result = self.work(job, spent);
                (self, result)
            });
            // A panic was reported where it happened; the session hears that the worker is gone.
            let Ok((bench, result)) = worked.await else { return };
            self = bench;
            if done.send(result).is_err() {
                return;
            }
        }
    }

    fn planned(&self, job: &Job) -> Duration {
        match (job, &self.study) {
            (Job::Fingerprint(study), _) => self.training.preparing(study),
            (Job::Prepare { study, .. }, before) => {
                let known = before.as_ref().is_some_and(|before| before.hash() == study.hash());
                if known { Duration::ZERO } else { self.training.preparing(study) }
            }
            (Job::Execute { order, .. }, Some(study)) => self.training.working(study, &order.task),
            (Job::Execute { .. }, None) => Duration::ZERO,
        }
    }

    fn work(&mut self, job: Job, spent: Duration) -> Done {
        match job {
            Job::Fingerprint(_) => Done::Fingerprinted(Err(
                "a site that trains dry has no patients to compare: let the study ignore duplicates".into(),
            )),
            Job::Prepare { study, .. } if !study.name.ends_with(DRY_STUDY) => Done::Prepared(Err(format!(
                "this client only pretends to train, and does so for no study but one whose name ends in {DRY_STUDY}: \
                 start the site's real client"
            ))),
            Job::Prepare { study, .. } if study.evaluation.design != Design::KFold => {
                Done::Prepared(Err("a dry run knows no design but k-fold".into()))
            }
            Job::Prepare { study, .. } => {
                let cohort = self.training.cohort(&study);
                self.study = Some(Arc::from(study));
                Done::Prepared(Ok(cohort))
            }
            Job::Execute { order, models, packs } => {
                Done::executed(&order, self.execute(&order, models.model, packs, spent))
            }
        }
    }

    fn execute(
        &self,
        order: &WorkOrder,
        model: Option<Loaded>,
        packs: bool,
        spent: Duration,
    ) -> Result<(Outcome, Option<Vec<u8>>), WorkError> {
        let study = self.study.as_deref().ok_or(WorkError::NotPrepared)?;
        let (cohort, seconds) = (self.training.cohort(study), spent.as_secs_f64());
        let draw = Draw { study, site: &self.site, task: &order.task };
        match &order.task {
            Task::Train { lane, round, classes, .. } => {
                let start = model.ok_or(WorkError::NoModel)??;
                let cases = cohort.counts(lane.modality).training(lane.fold).total();
                let update = LocalUpdate::between(start.values(), draw.trained(start.values()), cases)?;
                let grid = Grid::new(study.federation.fixed_point)?;
                let recipe = &study.training;
                let work =
                    TrainingWork { order: order.id, lane, round: *round, recipe, classes: *classes, packs };
                let sealed = seal(&self.residuals, study, &work, update.clip(grid).quantise())?;
                let (payload, sealed) = sealed.into_parts();
                let outcome = Outcome::Trained(TrainingOutcome {
                    update: BlobRef::of(&payload),
                    cases: sealed.cases,
                    mean_loss: draw.loss(),
                    tuned_share: None,
                    norm: sealed.norm,
                    saturated: sealed.saturated,
                    seconds,
                });
                Ok((outcome, Some(payload)))
            }
            Task::Validate { lane, .. } => {
                let patients = cohort.counts(lane.modality).validation(lane.fold);
                draw.scored(patients, seconds).map(|scored| (Outcome::Scored(scored), None))
            }
            Task::PredictHoldout { lane, .. } => {
                let patients = cohort.counts(lane.modality).holdout;
                draw.scored(patients, seconds).map(|scored| (Outcome::Scored(scored), None))
            }
            Task::Fuse { .. } => {
                let group = |group: ModalityGroup| {
                    let counts = group.members.first().map(|&modality| cohort.counts(modality));
                    let counts = counts.unwrap_or_default();
                    let trained = if study.trains(&self.site) {
                        counts.folds.iter().copied().sum()
                    } else {
                        ClassCounts::default()
                    };
                    let validation = draw.histogram(trained, "validation")?;
                    let holdout = draw.histogram(counts.holdout, "holdout")?;
                    Ok(GroupScores { validation, holdout })
                };
                let groups = ModalityGroup::of_study(&study.modalities).into_iter().map(group);
                let groups = groups.collect::<Result<_, WorkError>>()?;
                Ok((Outcome::Fused(FusionOutcome { groups, seconds }), None))
            }
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => Err(WorkError::NoDemographics),
        }
    }
}

/// Everything that is drawn for one task at one site.
struct Draw<'a> {
    study: &'a Study,
    site: &'a SiteId,
    task: &'a Task,
}

impl Draw<'_> {
    fn stream(&self, purpose: &str) -> consilium_domain::RandomStream {
        let Self { study, site, task } = self;
        study.seed().derive(&format!("dry/{purpose}/{site}/{task}")).stream()
    }

    fn trained(&self, start: &[f32]) -> Vec<f32> {
        let mut stream = self.stream("training");
        let drawn = start.len().min(DRAWN_CHANGES);
        let changes: Vec<f32> =
            (0..drawn).map(|_| stream.between(-LARGEST_CHANGE, LARGEST_CHANGE) as f32).collect();
        let mut trained = start.to_vec();
        for values in trained.chunks_mut(DRAWN_CHANGES) {
            values.iter_mut().zip(&changes).for_each(|(value, change)| *value += change);
        }
        trained
    }

    fn loss(&self) -> f64 {
        self.stream("loss").between(0.5, 0.7)
    }

    fn scored(&self, patients: ClassCounts, seconds: f64) -> Result<ScoringOutcome, WorkError> {
        let loss_sum = self.loss() * f64::from(patients.total());
        Ok(ScoringOutcome { scores: self.histogram(patients, "scores")?, loss_sum, seconds })
    }

    fn histogram(&self, patients: ClassCounts, purpose: &str) -> Result<ScoreHistogram, WorkError> {
        let mut stream = self.stream(purpose);
        let mut scores = histogram(self.study.evaluation.bins)?;
        for (count, label, low) in [
            (patients.methylated, Label::Methylated, SEPARATION),
            (patients.unmethylated, Label::Unmethylated, 0.0),
        ] {
            for _ in 0..count {
                record(&mut scores, stream.between(low, low + 1.0 - SEPARATION) as f32, label)?;
            }
        }
        Ok(scores)
    }
}
