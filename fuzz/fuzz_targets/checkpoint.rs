//! Fuzz target: any bytes through the importer of PyTorch checkpoints.
//!
//! `cargo +nightly fuzz run checkpoint` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-weights --test checkpoints corpus`).

#![no_main]

#[path = "../bodies/checkpoint.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
