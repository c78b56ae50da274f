//! Fuzz target: any bytes through the NIfTI reader.
//!
//! `cargo +nightly fuzz run nifti` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-data --test nifti_reading corpus`).

#![no_main]

#[path = "../bodies/nifti.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
