//! Fuzz target: any bytes through the decoders of the wire.
//!
//! `cargo +nightly fuzz run block` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-codec --test blocks corpus`).

#![no_main]

#[path = "../bodies/block.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
