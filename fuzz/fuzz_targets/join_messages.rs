//! Fuzz target: any bytes as a message about joining, or as a token.
//!
//! `cargo +nightly fuzz run join_messages` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-transport --test fuzz_corpora`).

#![no_main]

#[path = "../bodies/join_messages.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
