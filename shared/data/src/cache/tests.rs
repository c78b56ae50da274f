//! The cache on a hospital of phantoms: what is built, what is found, and what happens when files change.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use consilium_domain::Seed;

use super::*;
use crate::phantom::{Grid, PhantomCohort};
use crate::{Cohort, Layout, load_input};

const PROFILE: Preprocessing = Preprocessing::TumourCrop { side: 8 };
/// An entry of `PROFILE` in 16 bits: 96 bytes and 512 values.
const ENTRY_BYTES: u64 = 96 + 512 * 2;
const GENEROUS: CacheSettings = CacheSettings { max_bytes: 1 << 20, precision: CachePrecision::F16 };

struct Hospital {
    dir: tempfile::TempDir,
    cases: Vec<Case>,
}

impl Hospital {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cohort = PhantomCohort {
            sites: 1,
            cases_per_site: 4,
            signal: 1.0,
            seed: Seed::from_number(1),
            grid: Grid::Small,
            modalities: vec![Modality::T1gd, Modality::Flair],
        };
        let folder = cohort.write_site(dir.path(), 0).unwrap().folder;
        let cases = Cohort::open(Layout::UpennGbm, &[folder]).unwrap().cases;
        let hospital = Self { dir, cases };
        for case in &hospital.cases {
            case.images.values().chain([&case.mask]).for_each(|path| date_back(path));
        }
        hospital
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn cache(&self, settings: CacheSettings) -> InputCache {
        InputCache::open(&self.folder(), settings).unwrap()
    }

    /// Replaces one file by another of another patient.
    fn replace(&self, path: &Path, by: &Path) {
        fs::copy(by, path).unwrap();
        date_back(path);
    }

    fn image(&self, case: usize) -> &Path {
        &self.cases[case].images[&Modality::T1gd]
    }
}

/// As of a scan that was not written this moment: what was, is hashed twice.
fn date_back(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

fn load(cache: &InputCache, case: &Case) -> CachedInput {
    cache.load(case, Modality::T1gd, PROFILE).unwrap()
}

fn fill(cache: &InputCache, handle: &InputHandle) -> Result<Vec<f32>, CacheError> {
    let mut out = vec![f32::NAN; handle.voxels()];
    cache.fill(handle, &mut out).map(|()| out)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| shelf::key_of(path).is_some()).collect()
}

#[test]
fn an_input_is_built_once_and_found_after_a_restart_bit_for_bit() {
    let hospital = Hospital::new();
    for precision in [CachePrecision::F16, CachePrecision::F32] {
        let settings = CacheSettings { precision, ..GENEROUS };
        let cache = hospital.cache(settings);
        let first = load(&cache, &hospital.cases[0]);
        assert_eq!((cache.stats().built, cache.stats().hits), (1, 0));
        let exact = load_input(&hospital.cases[0], Modality::T1gd, PROFILE).unwrap();
        let error = first.values.iter().zip(&exact).map(|(a, b)| (a - b).abs() / b.abs().max(6e-5));
        let error = error.fold(0.0, f32::max);
        assert!(error <= if precision == CachePrecision::F16 { 1.0 / 2048.0 } else { 0.0 }, "{error}");
        drop(cache);
        let cache = hospital.cache(settings);
        assert!(load(&cache, &hospital.cases[0]) == first);
        assert!(fill(&cache, &first.handle).unwrap() == first.values);
        assert_eq!(cache.stats(), CacheStats { hits: 2, ..CacheStats::default() });
    }
    assert_eq!(entries(&hospital.folder()).len(), 2, "each precision has its own");
}

#[test]
fn filling_needs_the_scans_only_where_the_entry_is_gone() {
    let hospital = Hospital::new();
    let cache = hospital.cache(GENEROUS);
    let input = load(&cache, &hospital.cases[0]);
    let away = hospital.dir.path().join("away");
    fs::rename(hospital.image(0), &away).unwrap();
    assert!(fill(&cache, &input.handle).unwrap() == input.values);
    entries(&hospital.folder()).iter().for_each(|path| fs::remove_file(path).unwrap());
    let error = fill(&cache, &input.handle).unwrap_err();
    assert!(matches!(error, CacheError::Case(LoadError::Read(ReadVolumeError::Io { .. }))), "{error}");
    fs::rename(&away, hospital.image(0)).unwrap();
    assert!(fill(&cache, &input.handle).unwrap() == input.values);
    assert_eq!(cache.stats().built, 2);
}

#[test]
fn a_changed_image_or_mask_is_another_input_and_the_old_handle_says_so() {
    let hospital = Hospital::new();
    let cache = hospital.cache(GENEROUS);
    for (at, path) in [(0, hospital.image(0)), (1, &hospital.cases[1].mask)] {
        let before = load(&cache, &hospital.cases[at]);
        let by = if at == 0 { hospital.image(2) } else { &hospital.cases[2].mask };
        hospital.replace(path, by);
        assert!(
            fill(&cache, &before.handle).unwrap() == before.values,
            "the entry is still that of the study"
        );
        let after = load(&cache, &hospital.cases[at]);
        assert!(after.values != before.values);
        assert!(
            after.values == {
                let exact = load_input(&hospital.cases[at], Modality::T1gd, PROFILE).unwrap();
                Entry::new(exact, Vec::new(), CachePrecision::F16).values
            }
        );
        fs::remove_file(cache.shelf.path(before.handle.key)).unwrap();
        let error = fill(&cache, &before.handle).unwrap_err();
        let CacheError::SourceChanged { path: named } = &error else { panic!("{error}") };
        assert_eq!(named, path);
        assert!(error.to_string().contains("put the former file back"));
    }
    assert_eq!((cache.stats().changed, cache.stats().built), (2, 4));
}

#[test]
fn a_file_put_back_is_found_again() {
    let hospital = Hospital::new();
    let cache = hospital.cache(GENEROUS);
    let before = load(&cache, &hospital.cases[0]);
    let copy = hospital.dir.path().join("copy");
    fs::copy(hospital.image(0), &copy).unwrap();
    hospital.replace(hospital.image(0), hospital.image(1));
    load(&cache, &hospital.cases[0]);
    hospital.replace(hospital.image(0), &copy);
    assert!(load(&cache, &hospital.cases[0]).values == before.values);
    assert_eq!((cache.stats().built, cache.stats().hits), (2, 1));
}

#[test]
fn profiles_modalities_and_sketchers_are_kept_apart() {
    let hospital = Hospital::new();
    let case = &hospital.cases[0];
    let cache = hospital.cache(GENEROUS);
    load(&cache, case);
    cache.load(case, Modality::T1gd, Preprocessing::TumourCrop { side: 9 }).unwrap();
    cache.load(case, Modality::Flair, PROFILE).unwrap();
    assert_eq!(cache.stats(), CacheStats { built: 3, hashed: 3, ..CacheStats::default() });
    let sum = Sketcher {
        name: "sum-1",
        make: |image, mask| {
            [image, mask].iter().flat_map(|v| v.values().iter().sum::<f32>().to_le_bytes()).collect()
        },
    };
    drop(cache);
    let cache = hospital.cache(GENEROUS).with_sketcher(sum);
    let [first, second] = [0; 2].map(|_| load(&cache, case));
    assert_eq!((cache.stats().built, cache.stats().hits), (1, 1));
    assert!(first == second && first.sketch.len() == 8 && first.sketch != [0; 8]);
    let long = Sketcher { name: "long", make: |_, _| vec![0; MAX_SKETCH_BYTES + 1] };
    let cache = cache.with_sketcher(long);
    assert!(matches!(cache.load(case, Modality::T1gd, PROFILE), Err(CacheError::SketchTooLong { .. })));
}

#[test]
fn the_cap_holds_and_evicted_inputs_are_built_again() {
    let hospital = Hospital::new();
    let cap = 2 * ENTRY_BYTES + 10;
    let cache = hospital.cache(CacheSettings { max_bytes: cap, ..GENEROUS });
    let inputs: Vec<CachedInput> = hospital.cases.iter().map(|case| load(&cache, case)).collect();
    for round in 0..3 {
        for input in &inputs {
            assert!(fill(&cache, &input.handle).unwrap() == input.values, "round {round}");
            let bytes: u64 =
                entries(&hospital.folder()).iter().map(|path| path.metadata().unwrap().len()).sum();
            assert!(bytes <= cap, "{bytes}");
        }
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.built, stats.evicted), (0, 16, 14), "in turn is the worst order there is");
    fill(&cache, &inputs[2].handle).unwrap();
    fill(&cache, &inputs[0].handle).unwrap();
    assert!(cache.shelf.path(inputs[2].handle.key).exists(), "3 went, which was not used as lately");
    assert!(!cache.shelf.path(inputs[3].handle.key).exists());
}

#[test]
fn an_input_larger_than_the_cap_is_returned_and_not_kept() {
    let hospital = Hospital::new();
    let cache = hospital.cache(CacheSettings { max_bytes: ENTRY_BYTES - 1, ..GENEROUS });
    let input = load(&cache, &hospital.cases[0]);
    assert!(fill(&cache, &input.handle).unwrap() == input.values);
    assert_eq!((cache.stats().built, cache.stats().not_kept), (2, 2));
    assert!(entries(&hospital.folder()).is_empty());
}

#[test]
fn a_damaged_entry_is_noticed_and_built_again() {
    let hospital = Hospital::new();
    let cache = hospital.cache(GENEROUS);
    let input = load(&cache, &hospital.cases[0]);
    let path = cache.shelf.path(input.handle.key);
    let sound = fs::read(&path).unwrap();
    let mut flipped = sound.clone();
    flipped[500] ^= 1;
    for damaged in [&flipped[..], &sound[..700], &[]] {
        fs::write(&path, damaged).unwrap();
        assert!(fill(&cache, &input.handle).unwrap() == input.values);
        assert_eq!(fs::read(&path).unwrap(), sound);
    }
    assert_eq!((cache.stats().damaged, cache.stats().built), (3, 4));
}

#[test]
fn threads_share_a_small_cache_and_two_caches_a_folder() {
    let hospital = Hospital::new();
    let settings = CacheSettings { max_bytes: 3 * ENTRY_BYTES, ..GENEROUS };
    let caches = [hospital.cache(settings), hospital.cache(settings)];
    let inputs: Vec<CachedInput> = hospital.cases.iter().map(|case| load(&caches[0], case)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (cache, inputs) = (&caches[thread % 2], &inputs);
            scope.spawn(move || {
                for step in 0..40 {
                    let input = &inputs[(step * (thread + 1) + thread / 2) % inputs.len()];
                    assert!(fill(cache, &input.handle).unwrap() == input.values);
                }
            });
        }
    });
    let total: u64 = caches.iter().map(|cache| cache.stats().hits + cache.stats().built).sum();
    assert_eq!(total, 8 * 40 + 4);
    assert!(caches.iter().all(|cache| cache.stats().damaged == 0));
    let left: BTreeSet<PathBuf> = entries(&hospital.folder()).into_iter().collect();
    assert!(!left.is_empty() && left.len() <= hospital.cases.len());
}

#[test]
fn folder_and_files_are_the_owners_and_a_foreign_folder_is_left_alone() {
    let hospital = Hospital::new();
    let cache = hospital.cache(GENEROUS);
    load(&cache, &hospital.cases[0]);
    cache.flush().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&hospital.folder()), 0o700);
    let files: Vec<PathBuf> = fs::read_dir(hospital.folder()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|path| mode(path) == 0o600));

    let foreign = hospital.dir.path().join("thesis");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("chapter-1.input"), "…").unwrap();
    let before = mode(&foreign);
    let error = InputCache::open(&foreign, GENEROUS).err().expect("it is not a cache");
    assert!(error.to_string().contains("chapter-1.input"), "{error}");
    assert_eq!(mode(&foreign), before);
}

#[test]
fn drafts_of_the_dead_are_swept_up_and_of_the_living_are_not() {
    let hospital = Hospital::new();
    drop(hospital.cache(GENEROUS));
    let [dead, living] = ["dead.1-0.draft", "living.2-0.draft"].map(|name| hospital.folder().join(name));
    for draft in [&dead, &living] {
        fs::write(draft, "half").unwrap();
    }
    let file = File::options().write(true).open(&dead).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    hospital.cache(GENEROUS);
    assert!(!dead.exists() && living.exists());
}

#[test]
fn wrong_buffers_foreign_handles_and_missing_images_are_errors() {
    let hospital = Hospital::new();
    let cache = hospital.cache(GENEROUS);
    let handle = load(&cache, &hospital.cases[0]).handle;
    let short = cache.fill(&handle, &mut [0.0; 511]);
    assert!(matches!(short, Err(CacheError::Length { expected: 512, found: 511 })));
    let other = InputCache::open(
        &hospital.dir.path().join("other"),
        CacheSettings { precision: CachePrecision::F32, ..GENEROUS },
    );
    assert!(matches!(fill(&other.unwrap(), &handle), Err(CacheError::ForeignHandle { .. })));
    let absent = cache.load(&hospital.cases[0], Modality::T2, PROFILE);
    assert!(matches!(absent, Err(CacheError::Case(LoadError::NoImage { .. }))));
    assert!(!format!("{handle:?}").contains("phantom") && !format!("{handle:?}").contains("UPENN"));
}
