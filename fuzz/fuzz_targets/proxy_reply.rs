//! Fuzz target: any bytes as the answer of a proxy.
//!
//! `cargo +nightly fuzz run proxy_reply` from the root of the repository. The corpus also runs as a plain test
//! (`cargo test -p consilium-transport --test fuzz_corpora`).

#![no_main]

#[path = "../bodies/proxy_reply.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::check(bytes));
