//! A hospital's side: reads its own images, trains and predicts where they lie, sends sums and nothing else.
//!
//! [`run`] is the daemon. The session runs on the async runtime, the work on a thread of its own. What leaves the
//! hospital leaves through `consilium_privacy` (updates) and `consilium_metrics` (histograms).

mod check;
pub mod cli;
mod config;
mod connection;
mod daemon;
mod doctor;
mod forecasting;
mod links;
mod model_cache;
mod predict;
mod predictions;
mod rehearsal;
mod study_data;
mod transfers;
mod verify;
mod worker;

pub use config::{Config, ConfigError, ConfigFile};
pub use daemon::{DaemonError, Ending, run};
pub use forecasting::{
    Figures, FoldForecast, Forecast, ModalityForecast, PredictError, Predictor, RESEARCH_ONLY, write_table,
};
pub use links::ProxySetting;
pub use rehearsal::{Rehearsal, rehearse};
