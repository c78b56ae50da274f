//! The data check's two passes over phantoms of clinical size, in files a second.
//!
//! Files come from the page cache, as after a copy: the figures are those of decompression and looking, not
//! of a disk.

use std::path::PathBuf;
use std::time::Duration;

use consilium_data::Layout;
use consilium_data::check::{CheckOptions, Pass, check};
use consilium_data::phantom::{Grid, PhantomCohort};
use consilium_domain::{Modality, Seed};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Four modalities and a mask each: 40 files of 240x240x155 voxels.
const CASES: usize = 8;
const FILES_A_CASE: u64 = 5;

fn options() -> CheckOptions {
    CheckOptions::new(5, 0.3).expect("a possible study")
}

fn passes(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cohort = PhantomCohort {
        sites: 1,
        cases_per_site: CASES,
        signal: 1.0,
        seed: Seed::from_number(1),
        grid: Grid::Full,
        modalities: vec![Modality::T1, Modality::T1gd, Modality::T2, Modality::Flair],
    };
    cohort.write(folder.path()).expect("phantoms can be written");
    let folders: Vec<PathBuf> = vec![folder.path().join("site-1")];
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(CASES as u64 * FILES_A_CASE)).sample_size(10);
    for (name, pass, headers_only) in [("headers", Pass::Headers, true), ("voxels", Pass::Voxels, false)] {
        let mut options = options();
        options.headers_only = headers_only;
        group.bench_function(name, |bencher| {
            let timed = || -> Duration {
                let report = check(Layout::UpennGbm, &folders, &options, &|_| {});
                report.passes.iter().filter(|timing| timing.pass == pass).map(|timing| timing.elapsed).sum()
            };
            bencher.iter_custom(|rounds| (0..rounds).map(|_| timed()).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
