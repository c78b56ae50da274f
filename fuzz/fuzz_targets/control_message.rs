//! Fuzz target: any bytes as a control message of either side.
//!
//! `cargo +nightly fuzz run control_message` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-transport --test fuzz_corpora`).

#![no_main]

#[path = "../bodies/control_message.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
