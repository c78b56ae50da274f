//! Fuzz target: any bytes through the frame reader, in pieces of any size.
//!
//! `cargo +nightly fuzz run frame_reader` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-transport --test fuzz_corpora`).

#![no_main]

#[path = "../bodies/frame_reader.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
