//! The thread that works: preparing data, training, scoring, fusing. One job at a time, never on the runtime.

mod baseline;
mod comparing;
mod dry;
mod fusing;
mod meter;
mod preparing;
mod scoring;
mod training;
mod valve;

use std::path::PathBuf;
use std::sync::Arc;

use consilium_data::{CacheSettings, InputCache, Layout};
use consilium_domain::{CohortSummary, Fingerprint, OrderId, SiteId, Study, StudyHash, Task, WorkOrder};
use consilium_model::{ComputeDevice, ModelError};
use consilium_privacy::{GridError, ResidualError, UpdateError};
use consilium_protocol::Outcome;
use consilium_weights::{Weights, WeightsError};
use tokio::sync::mpsc;

use crate::dry_training::DryTraining;
use crate::own_files::OwnFilesError;
use crate::predictions::{Predictions, PredictionsError};
use crate::residuals::ResidualsError;
use crate::study_data::{Intake, StudyData};
use dry::DryBench;
pub(crate) use meter::Meter;
use preparing::PrepareError;
use training::TrainingWork;
use valve::Valve;

/// What the worker is asked to do.
pub(crate) enum Job {
    /// Read and preprocess the site's cohort, and fingerprint its cases.
    Fingerprint(Box<Study>),
    /// Deal the cohort without the cases numbered `exclude`.
    Prepare { study: Box<Study>, exclude: Vec<u32> },
    /// Carry out an order with the models it needs. `packs`: the coordinator reads packed updates.
    Execute { order: WorkOrder, models: Box<Models>, packs: bool },
}

/// Weights that were read, or what is wrong with their file: it was sent so.
pub(crate) type Loaded = Result<Arc<Weights>, WeightsError>;

/// What an order works with.
pub(crate) struct Models {
    /// The model that it begins with or scores.
    pub(crate) model: Option<Loaded>,
    /// The pretrained backbone.
    pub(crate) base: Option<Loaded>,
}

/// What came of it.
pub(crate) enum Done {
    /// What the site keeps for its own work cannot be kept or found. The order is as good as before: the client ends.
    OwnFilesFailed(OwnFilesError),
    Fingerprinted(Result<Vec<Fingerprint>, String>),
    Prepared(Result<CohortSummary, String>),
    /// A training's result carries the sealed update.
    Executed {
        order: OrderId,
        result: Result<(Outcome, Option<Vec<u8>>), String>,
    },
}

impl Done {
    /// What came of `order`.
    fn executed(order: &WorkOrder, result: Result<(Outcome, Option<Vec<u8>>), WorkError>) -> Self {
        if let Err(error) = &result {
            tracing::error!(order = %order.task, ?error, "work failed");
        }
        match result {
            Err(WorkError::OwnFiles(error)) => Self::OwnFilesFailed(error),
            result => Self::Executed { order: order.id, result: result.map_err(|error| error.to_string()) },
        }
    }
}

/// Why work could not be done. Told to the coordinator, so it names no patient and no file of the hospital's data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error("the study is not prepared")]
    NotPrepared,
    #[error("the order came without its model")]
    NoModel,
    #[error("an input cannot be read any more; see the site's log")]
    Input(#[source] ModelError),
    #[error(transparent)]
    Model(ModelError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Grid(#[from] GridError),
    /// Never told: the client ends for it.
    #[error(transparent)]
    OwnFiles(OwnFilesError),
    #[error(transparent)]
    Residual(#[from] ResidualError),
    #[error("a histogram cannot be filled: {0}")]
    Histogram(String),
    #[error(
        "no patient of this site has both age and sex in its clinical table: the baseline is fitted without it \
         (docs/layouts.md)"
    )]
    NoDemographics,
    #[error("the sums beside a histogram cannot be filled: {0}")]
    Sums(String),
}

impl From<ModelError> for WorkError {
    fn from(error: ModelError) -> Self {
        match error {
            // Its text names a file.
            ModelError::Input { .. } => Self::Input(error),
            other => Self::Model(other),
        }
    }
}

impl From<PredictionsError> for WorkError {
    fn from(error: PredictionsError) -> Self {
        Self::OwnFiles(error.into())
    }
}

impl From<ResidualsError> for WorkError {
    fn from(error: ResidualsError) -> Self {
        Self::OwnFiles(error.into())
    }
}

/// Where and on what a site works.
#[derive(Clone)]
pub(crate) struct Workplace {
    pub(crate) site: SiteId,
    pub(crate) layout: Layout,
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) predictions: PathBuf,
    pub(crate) residuals: PathBuf,
    pub(crate) half_trained: PathBuf,
    pub(crate) fingerprint_key: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) cache_settings: CacheSettings,
    pub(crate) device: ComputeDevice,
}

/// A handle to the thread, or to what stands in for it. Dropping it asks running work to stop.
pub(crate) struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    valve: Arc<Valve>,
    meter: Meter,
}

impl Worker {
    /// Starts the thread; results arrive at the receiver.
    pub(crate) fn start(workplace: Workplace) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (jobs, mut queue) = mpsc::unbounded_channel();
        let (done, results) = mpsc::unbounded_channel();
        let (valve, meter) = (Arc::new(Valve::default()), Meter::default());
        let mut bench = Bench {
            workplace,
            cache: None,
            intake: None,
            prepared: None,
            base: None,
            valve: valve.clone(),
            meter: meter.clone(),
        };
        std::thread::spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                if bench.valve.pass().is_break() {
                    return;
                }
                if done.send(bench.work(job)).is_err() {
                    return;
                }
            }
        });
        (Self { jobs, valve, meter }, results)
    }

    /// Starts a worker that only takes the time: see [`DryTraining`].
    pub(crate) fn start_dry(
        workplace: Workplace,
        training: DryTraining,
    ) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (done, results) = mpsc::unbounded_channel();
        let Workplace { site, residuals, .. } = workplace;
        let meter = Meter::default();
        let bench = DryBench { site, residuals, training, study: None, meter: meter.clone() };
        tokio::spawn(bench.serve(queue, done));
        (Self { jobs, valve: Arc::default(), meter }, results)
    }

    /// Gives the thread something to do. At most one order is under way, so the queue holds one job.
    pub(crate) fn give(&self, job: Job) {
        // The thread only ends after the receiver of results is gone, and then nobody waits for this job.
        let _ = self.jobs.send(job);
    }

    /// How far it is with its order.
    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Work may go on, or must stand still.
    pub(crate) fn let_work(&self, may: bool) {
        self.valve.set_open(may);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.valve.end();
    }
}

struct Prepared {
    study: Study,
    data: StudyData,
    predictions: Predictions,
}

struct Bench {
    workplace: Workplace,
    cache: Option<InputCache>,
    intake: Option<(StudyHash, Intake)>,
    prepared: Option<Prepared>,
    base: Option<Arc<Weights>>,
    valve: Arc<Valve>,
    meter: Meter,
}

impl Bench {
    fn work(&mut self, job: Job) -> Done {
        match job {
            Job::Fingerprint(study) => {
                Done::Fingerprinted(self.fingerprint(&study).map_err(|error| error.to_string()))
            }
            Job::Prepare { study, exclude } => match self.prepare(*study, &exclude) {
                Err(PrepareError::Predictions(error)) => Done::OwnFilesFailed(error.into()),
                result => Done::Prepared(result.map_err(|error| error.to_string())),
            },
            Job::Execute { order, models, packs } => {
                Done::executed(&order, self.execute(&order, *models, packs))
            }
        }
    }

    fn cache(&self) -> Result<&InputCache, WorkError> {
        self.cache.as_ref().ok_or(WorkError::NotPrepared)
    }

    #[tracing::instrument(level = "debug", name = "work", skip_all, fields(task = %order.task))]
    fn execute(
        &mut self,
        order: &WorkOrder,
        models: Models,
        packs: bool,
    ) -> Result<(Outcome, Option<Vec<u8>>), WorkError> {
        self.meter.begin(0);
        let prepared = self.prepared.as_ref().ok_or(WorkError::NotPrepared)?;
        self.base = models.base.transpose()?;
        let model = || -> Result<Arc<Weights>, WorkError> { Ok(models.model.ok_or(WorkError::NoModel)??) };
        match &order.task {
            Task::Train { lane, round, classes, reductions, .. } => {
                let recipe = prepared.study.training.reduced(*reductions);
                let work = TrainingWork {
                    order: order.id,
                    lane,
                    round: *round,
                    recipe: &recipe,
                    classes: *classes,
                    packs,
                };
                self.train(prepared, &work, &*model()?)
            }
            Task::Validate { lane, round, .. } | Task::PredictHoldout { lane, round, .. } => {
                self.score(prepared, &order.task, lane, *round, &*model()?)
            }
            Task::Fuse { arm, models } => fusing::fuse(&prepared.study, &prepared.predictions, *arm, models),
            Task::FitBaseline { coefficients, .. } => {
                baseline::sums(prepared.data.clinical(), coefficients).map(|sums| (sums, None))
            }
            Task::ScoreBaseline { coefficients } => {
                baseline::score(prepared, coefficients).map(|scores| (scores, None))
            }
        }
    }
}
