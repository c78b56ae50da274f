//! Fuzz target: any bytes on the own stream of a connection over TCP.
//!
//! `cargo +nightly fuzz run link_frames` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-transport --test fuzz_corpora`).

#![no_main]

#[path = "../bodies/link_frames.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
