//! Fuzz target: any bytes as the beginning of a data stream.
//!
//! `cargo +nightly fuzz run stream_headers` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-transport --test fuzz_corpora`).

#![no_main]

#[path = "../bodies/stream_headers.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
