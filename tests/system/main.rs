//! The program `consilium` as its users meet it: real processes, real QUIC on loopback, real files.
//!
//! Studies here are as small as a study can be; they show that the parts work together, not that anything is learned.

#[path = "../vectors/annotated.rs"]
mod annotated;
mod audit;
mod by_hand;
mod consortium;
mod departure;
mod determinism;
mod duplicates;
mod flood;
mod folder;
mod foreign_site;
mod frames;
mod glioma;
mod hostile_coordinator;
mod hours;
mod identifiers;
mod join;
mod lines;
mod links;
mod membership;
mod pages;
mod policy;
mod prediction;
mod process;
mod profile;
mod recording;
mod refusals;
mod releases;
mod report;
mod restart;
mod resumption;
mod service;
mod stand_in;
mod stopping;
mod timeless;
mod trespassers;
