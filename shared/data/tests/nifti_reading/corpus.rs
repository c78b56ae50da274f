//! The fuzz corpus as a plain test: dozens of small files, sound and broken, none of which may make the reader
//! panic or take more memory than stated.
//!
//! `CONSILIUM_WRITE_CORPUS=1 cargo test -p consilium-data --test nifti_reading corpus` writes the files anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_data::{MAX_READ_BYTES, MAX_VOXELS, Volume};

use crate::body;
use crate::broken::broken_files;
use crate::files::{DATATYPES, NiftiFile, gzip};

/// Most memory that any file of the corpus may take, bombs included: buffers, inflater, and the little that
/// the files hold. Their headers claim up to 2^191 voxels.
const CAP_BYTES: u64 = 1 << 20;

/// Largest file of the corpus.
const MOST_FILE_BYTES: usize = 8 << 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/nifti")
}

/// Every file of the corpus by name.
fn corpus() -> BTreeMap<String, Vec<u8>> {
    let broken = broken_files().into_iter().map(|(name, bytes, _)| (format!("bad {name}"), bytes));
    let mut files: BTreeMap<String, Vec<u8>> = broken.collect();
    for (version, base) in [(1, NiftiFile::sound()), (2, NiftiFile::sound2())] {
        for (order, big_endian) in [("little", false), ("big", true)] {
            for datatype in DATATYPES {
                let file = NiftiFile { big_endian, ..base.clone() }.with_datatype(datatype);
                files.insert(format!("good v{version} {order} datatype {}", datatype.0), file.bytes());
            }
        }
        let qform = NiftiFile { sform_code: 0, qform_code: 1, quaternion: [0.1, -0.2, 0.3], ..base.clone() };
        files.insert(format!("good v{version} qform"), qform.bytes());
        files.insert(format!("good v{version} neither form"), NiftiFile { qform_code: 0, ..qform }.bytes());
        files.insert(format!("good v{version} gzip"), base.gzip());
        let members = base.bytes().chunks(100).flat_map(gzip).collect();
        files.insert(format!("good v{version} members"), members);
    }
    let named = |(name, bytes): (String, Vec<u8>)| (name.replace([' ', ',', '^', '/'], "_"), bytes);
    files.into_iter().map(named).filter(|(_, bytes)| bytes.len() <= MOST_FILE_BYTES).collect()
}

#[test]
fn the_corpus_is_what_the_builder_makes() {
    let corpus = corpus();
    assert!(corpus.len() > 100, "only {} files", corpus.len());
    if std::env::var_os("CONSILIUM_WRITE_CORPUS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (name, bytes) in &corpus {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in &corpus {
        let stored = fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Compressed bytes depend on the version of the compressor.
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            assert_eq!(&stored, bytes, "{name}");
        }
    }
}

#[test]
fn no_file_of_the_corpus_panics_or_takes_more_memory_than_stated() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let memory = allocation_counter::measure(|| body::check(&bytes));
        assert!(memory.bytes_max <= CAP_BYTES, "{}: {} bytes", path.display(), memory.bytes_max);
        files += 1;
    }
    assert!(files > 100, "only {files} files");
}

/// The arithmetic of [`MAX_READ_BYTES`], at a size that a test can afford: four honest megabytes of voxels in a
/// file of kilobytes.
#[test]
fn honest_voxels_take_no_more_memory_than_the_stated_share() {
    let voxels = 1 << 22;
    let file = NiftiFile {
        dim: [3, 256, 128, 128, 1, 1, 1, 1],
        datatype: 2,
        bitpix: 8,
        voxels: vec![3; voxels],
        ..NiftiFile::sound()
    };
    let bytes = file.gzip();
    let memory = allocation_counter::measure(|| {
        let volume = Volume::from_bytes(&bytes, Path::new("image")).unwrap();
        assert_eq!(volume.values().len(), voxels);
    });
    let fixed = MAX_READ_BYTES - 2 * size_of::<f32>() * MAX_VOXELS;
    let share = 2 * size_of::<f32>() * voxels;
    assert!(memory.bytes_max <= (fixed + share) as u64, "{} bytes", memory.bytes_max);
    assert!(memory.bytes_max >= (share / 2) as u64, "the voxels were counted");
}
