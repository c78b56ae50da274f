//! A whole consortium on one machine: synthetic hospitals, a real coordinator, real clients, real QUIC.
//!
//! [`main`] is the program `consilium`. It starts *itself* as coordinator and as clients, so that one binary is all
//! a newcomer builds; those processes run the same code as the daemons.

mod baselines;
mod child;
mod cli;
mod consortium;
pub mod dry_run;
mod phantom;
mod preset;
mod progress;
mod report;
mod simulate;
mod sites;
mod stand_in;
mod table;

pub use cli::main;
pub use report::{Baselines, PretrainedWeights, Simulation, SimulationReport};
