//! What an input costs: from the cache in 32 and in 16 bits, and made of a scan of 240x240x155 voxels.

use std::hint::black_box;
use std::time::Duration;

use consilium_data::phantom::{Grid, PhantomCohort};
use consilium_data::{CachePrecision, CacheSettings, Case, Cohort, InputCache, Layout, load_input};
use consilium_domain::{Modality, Preprocessing, Seed};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const MODALITY: Modality = Modality::T1gd;
const PROFILE: Preprocessing = Preprocessing::Schmitz2024;

fn case(folder: &std::path::Path) -> Case {
    let cohort = PhantomCohort {
        sites: 1,
        cases_per_site: 1,
        signal: 1.0,
        seed: Seed::from_number(1),
        grid: Grid::Full,
        modalities: vec![MODALITY],
    };
    let folder = cohort.write_site(folder, 0).expect("the temporary folder is writable").folder;
    let mut cohort = Cohort::open(Layout::UpennGbm, &[folder]).expect("phantoms lie in this layout");
    cohort.cases.remove(0)
}

fn inputs(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let case = case(dir.path());
    let voxels: usize = PROFILE.input_shape().iter().product();
    let mut group = criterion.benchmark_group("input");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(4 * voxels as u64));
    for (name, precision) in [("f16", CachePrecision::F16), ("f32", CachePrecision::F32)] {
        let settings = CacheSettings { max_bytes: 1 << 30, precision };
        let cache = InputCache::open(&dir.path().join(name), settings).expect("the folder is new");
        let handle = cache.load(&case, MODALITY, PROFILE).expect("phantoms are sound").handle;
        let mut out = vec![0.0; voxels];
        group.bench_function(format!("filled from {name}"), |bencher| {
            bencher.iter(|| cache.fill(&handle, black_box(&mut out)).expect("the entry is there"));
        });
        assert_eq!(cache.stats().built, 1);
    }
    group.bench_function("built from gzip", |bencher| {
        bencher.iter(|| load_input(&case, MODALITY, PROFILE).expect("phantoms are sound"));
    });
    let files = [&case.images[&MODALITY], &case.mask];
    let bytes = files.map(|path| path.metadata().expect("it was just written").len()).iter().sum();
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("digests of image and mask", |bencher| {
        bencher.iter(|| {
            files.map(|path| {
                let file = std::fs::File::open(path).expect("it was just written");
                blake3::Hasher::new().update_reader(file).expect("it can be read").finalize()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, inputs);
criterion_main!(benches);
