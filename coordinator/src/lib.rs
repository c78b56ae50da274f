//! The coordinator: owns studies, hands out work, sums updates, reports.
//!
//! [`run`] is the daemon of one study, [`service::serve`] that of a consortium. It links no machine-learning framework and reads no image: models are named tensors to
//! it, patients are counts. State is the event log and the blobs under one folder; a restart with the same
//! arguments goes on where the log ends.

mod access;
mod aggregation;
mod audited_access;
mod audited_refusals;
mod auditing;
pub mod cli;
mod conductor;
mod config;
pub mod contributors;
mod daemon;
mod database_advice;
mod door;
mod event_log;
mod farewells;
mod first_models;
mod greeting;
pub mod model_export;
mod notice;
mod outgoing;
mod own_certificate;
mod pace;
mod recent;
mod refusal_log;
pub mod registry;
mod remote;
mod renewing;
pub mod report;
mod report_command;
#[cfg(test)]
mod scene;
pub mod service;
mod session;
pub mod site_command;
mod state_dir;
mod surroundings;
mod taking_up;
mod uploads;
mod watched;
mod web;
pub mod weights;
mod whole_file;

pub use aggregation::AggregationError;
pub use conductor::{ConductorError, Stopped};
pub use config::{Config, StudyFileError, parse_study, read_study};
pub use consilium_audit::AuditError;
pub use daemon::{DaemonError, run, run_in};
pub use door::DoorError;
pub use event_log::{EventLog, EventLogError};
pub use first_models::FirstModelsError;
pub use notice::{Notice, NoticeFormat, Progress};
pub use report::Report;
pub use state_dir::StateDirError;
pub use surroundings::{Surroundings, WallClock};
pub use taking_up::TakeUpError;
