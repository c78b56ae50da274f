//! A hospital's side: reads its own images, trains and predicts where they lie, sends sums and nothing else.
//!
//! [`run`] is the daemon. The session runs on the async runtime, the work on a thread of its own. The hospital's word
//! is last: [`policy`] and its people decide on every study, and what leaves passes one gate. It leaves through `consilium_privacy` (updates) and `consilium_metrics` (histograms).

mod at_hand;
mod auditing;
mod check;
pub mod cli;
mod config;
mod connection;
mod control;
mod daemon;
mod deltas;
mod doctor;
mod dry_training;
mod durable;
mod evaluate;
mod forecasting;
mod gain;
mod half_trained;
mod join;
mod late_fusion;
mod line_test;
mod links;
mod model_cache;
mod outbox;
mod outgoing;
mod own_files;
pub mod policy;
mod predict;
mod predictions;
mod rehearsal;
mod renewal;
mod residuals;
mod session;
mod steward;
mod study_data;
mod transfer_limits;
mod transfers;
mod verify;
mod web;
mod worker;

pub use config::{Config, ConfigError, ConfigFile};
pub use consilium_audit::AuditError;
pub use control::ControlError;
pub use daemon::{DaemonError, Ending, RunOptions, run};
pub use dry_training::{BusyMeter, DRY_STUDY, DryTraining, Pace};
pub use evaluate::{ExternalValidation, validate};
pub use forecasting::{
    Figures, FoldForecast, Forecast, Input, ModalityForecast, PredictError, Predictor, RESEARCH_ONLY,
    write_inputs, write_table,
};
pub use gain::{Gain, GainError, compare_states};
pub use join::JoinArgs;
pub use links::ProxySetting;
pub use outbox::OutboxError;
pub use own_files::OwnFilesError;
pub use policy::{PolicyFile, SitePolicy};
pub use rehearsal::{Rehearsal, rehearse};
pub use steward::{Clock, DecisionsError};
pub use transfer_limits::{TransferLimits, TransfersFile};
