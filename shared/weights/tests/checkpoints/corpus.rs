//! The fuzz corpus as a plain test, and the error that each broken file gets.
//!
//! `CONSILIUM_WRITE_CORPUS=1 cargo test -p consilium-weights --test checkpoints corpus` writes the files anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_weights::checkpoint::import;

use crate::broken::{broken_files, tiny};
use crate::{SMALL, body};

/// Most memory that any broken file may take, beside the file: values of the pickle and room for them to grow.
const CAP_BYTES: u64 = 32 << 20;

/// Largest file of the corpus.
const MOST_FILE_BYTES: usize = 8 << 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/checkpoint")
}

/// Every small file by name.
fn corpus() -> BTreeMap<String, Vec<u8>> {
    let bad = broken_files().into_iter().map(|(name, bytes, _)| (format!("bad {name}"), bytes));
    let sound = [
        ("good legacy", tiny().legacy()),
        ("good stored", tiny().zipped(false)),
        ("good deflated", tiny().zipped(true)),
    ];
    let files = bad.chain(sound.map(|(name, bytes)| (name.to_owned(), bytes)));
    files
        .map(|(name, bytes)| (name.replace([' ', '.'], "_"), bytes))
        .filter(|(_, bytes)| bytes.len() <= MOST_FILE_BYTES)
        .collect()
}

#[test]
fn every_broken_file_is_refused_with_its_own_error_and_little_memory() {
    let files = broken_files();
    assert!(files.len() > 90, "only {} files", files.len());
    for (name, bytes, expected) in files {
        let mut result = None;
        let memory = allocation_counter::measure(|| result = Some(import(&bytes, SMALL)));
        let error = result.unwrap().expect_err(name);
        let found = format!("{error:?}");
        assert!(found.starts_with(expected), "{name}: {found} does not begin with {expected}");
        let text = error.to_string();
        assert!(!text.contains('\u{1b}') && text.len() > 40, "{name}: {text}");
        assert!(memory.bytes_max <= CAP_BYTES, "{name}: {} bytes", memory.bytes_max);
    }
}

#[test]
fn the_corpus_is_what_the_builder_makes_and_panics_nowhere() {
    let corpus = corpus();
    assert!(corpus.len() > 80, "only {} files", corpus.len());
    if std::env::var_os("CONSILIUM_WRITE_CORPUS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (name, bytes) in &corpus {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in &corpus {
        let stored = fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Compressed bytes depend on the version of the compressor.
        if !bytes.starts_with(b"PK") {
            assert_eq!(&stored, bytes, "{name}");
        }
        body::check(&stored);
    }
    assert_eq!(fs::read_dir(folder()).unwrap().count(), corpus.len(), "files that the builder does not make");
}
