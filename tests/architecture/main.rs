//! The rules of the house (ARCHITECTURE.md), checked by a test and not by memory.
//!
//! Every rule is a function from data to violations: one test runs it over this workspace, others over small made-up
//! inputs that break it, so that a rule that cannot fail is noticed. Nothing here builds or runs the crates.

mod documents;
mod graph;
mod layers;
mod sources;
mod tree;
mod ways_out;
mod words;
