//! The program `consilium` as its users meet it: real processes, real QUIC on loopback, real files.
//!
//! Studies here are as small as a study can be; they show that the parts work together, not that anything is learned.

mod departure;
mod determinism;
mod duplicates;
mod folder;
mod glioma;
mod links;
mod prediction;
mod process;
mod refusals;
mod report;
mod restart;
mod stand_in;
mod stopping;
