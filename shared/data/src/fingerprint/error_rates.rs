//! How often two patients would be taken for one, and one for two. `cargo test -p consilium-data error_rates --
//! --nocapture` prints the measurements that `docs/threat-model.md` cites.

use std::path::Path;

use consilium_domain::{MATCHING_BANDS, Modality, Seed, StudyHash};

use super::exports::Export;
use super::{FingerprintKey, ImageSketch, StudyFingerprintKey, TooManyAliases};
use crate::Volume;
use crate::phantom::{Grid, PhantomCohort};

/// Patients of each kind of image: thousands of pairs.
const PHANTOMS: usize = 80;
/// Of those, how many are exported in every way.
const EXPORTED: usize = 8;

/// What the next hospital may have done to a scan, and how many bands are equal at least.
const EXPORTS: [(&str, &[Export], usize); 12] = [
    ("int16", &[Export::Int16(4_000.0)], 30),
    ("8 bits", &[Export::Int16(255.0)], 24),
    ("affine", &[Export::Affine(0.37, 120.0)], 30),
    ("RAS", &[Export::Ras], 30),
    ("other axes", &[Export::Turned], 30),
    ("padded", &[Export::Padded], 30),
    ("all of these", &[Export::Padded, Export::Affine(3.0, 50.0), Export::Int16(4_000.0), Export::Ras], 28),
    ("lowest 9 mm cut", &[Export::Cut(9.0)], 7),
    ("noise 5 %", &[Export::Noisy(0.05)], 18),
    ("noise 20 %", &[Export::Noisy(0.2)], 7),
    ("voxels x 1.07", &[Export::Resampled(1.07)], 12),
    ("voxels x 1.25", &[Export::Resampled(1.25)], 8),
];

fn key(consortium: u8, study: u8) -> StudyFingerprintKey {
    let study: StudyHash =
        serde_json::from_str(&format!("\"{}\"", format!("{study:02x}").repeat(32))).unwrap();
    FingerprintKey::from_bytes([consortium; 32]).for_study(study)
}

fn sketch(volume: &Volume) -> ImageSketch {
    ImageSketch::of(volume).unwrap()
}

fn equal_bands(a: &ImageSketch, b: &ImageSketch) -> usize {
    a.bands().iter().zip(b.bands()).filter(|(a, b)| a == b).count()
}

fn export(volume: &Volume, steps: &[Export]) -> Volume {
    steps.iter().fold(volume.clone(), |volume, step| step.of(&volume))
}

/// How exports of the same scans differ from them.
#[derive(Debug)]
struct Worst {
    /// Fewest equal bands.
    bands: usize,
    /// Most differing bits.
    bits: u32,
}

fn worst(volumes: &[Volume], steps: &[Export]) -> Worst {
    let pairs = volumes.iter().map(|volume| (sketch(volume), sketch(&export(volume, steps))));
    let pairs: Vec<_> = pairs.collect();
    let bands = pairs.iter().map(|(a, b)| equal_bands(a, b)).min().unwrap();
    Worst { bands, bits: pairs.iter().map(|(a, b)| a.distance(b)).max().unwrap() }
}

/// How different patients differ.
#[derive(Debug)]
struct Strangers {
    pairs: usize,
    /// Mean and least share of differing bits.
    mean: f64,
    least: f64,
    /// Most equal bands of a pair.
    bands: usize,
}

fn strangers(volumes: &[Volume]) -> Strangers {
    let sketches: Vec<ImageSketch> = volumes.iter().map(sketch).collect();
    let mut found = Strangers { pairs: 0, mean: 0.0, least: 1.0, bands: 0 };
    for (index, a) in sketches.iter().enumerate() {
        for b in &sketches[index + 1..] {
            let share = f64::from(a.distance(b)) / 512.0;
            found.pairs += 1;
            found.mean += share;
            found.least = found.least.min(share);
            found.bands = found.bands.max(equal_bands(a, b));
        }
    }
    found.mean /= found.pairs as f64;
    found
}

fn phantoms(cases: usize, modality: Modality) -> Vec<Volume> {
    let cohort = PhantomCohort {
        sites: 4,
        cases_per_site: cases / 4,
        signal: 2.0,
        seed: Seed::from_number(4),
        grid: Grid::Small,
        modalities: vec![modality],
    };
    let patients = (0..4).flat_map(|site| cohort.patients(site).collect::<Vec<_>>());
    patients.map(|(_, patient)| patient.scene(Grid::Small).image(modality)).collect()
}

/// The three real patients' images of one kind, background 0; `None` where they are not at hand. Theirs is some
/// other number, which makes no difference.
fn real(suffix: &str) -> Option<Vec<Volume>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2013_cc_by_nc_sa");
    if !folder.exists() {
        println!("skipped: ../shared is absent");
        return None;
    }
    let read = |n| {
        let path = folder.join(format!("brats_2013_pat000{n}_1/{suffix}_subtrMeanDivStd.nii.gz"));
        let stored = Volume::read(&path).unwrap();
        let background = stored.values()[0];
        let values = stored.values().iter().map(|value| value - background).collect();
        let zeroed = Volume::new(stored.shape(), stored.spacing(), values).unwrap();
        let zeroed = zeroed.with_orientation(stored.orientation().unwrap());
        assert!(sketch(&stored).distance(&sketch(&zeroed)) <= 2);
        zeroed
    };
    Some((1..=3).map(read).collect())
}

/// Exports are found with bands to spare, strangers are not even near.
fn check(name: &str, all: &[Volume], exported: &[Volume]) {
    let strangers = strangers(all);
    println!("{name}: {strangers:?}");
    // Chance makes half of the bits differ; the rest is what left and right have in common in every brain.
    let apart = strangers.least > 0.3 && strangers.mean > 0.4;
    assert!(strangers.bands <= MATCHING_BANDS / 2 && apart && strangers.pairs > 2, "{name}");
    for (changes, steps, fewest) in EXPORTS {
        let worst = worst(exported, steps);
        println!("{name}, {changes}: {worst:?}");
        let within = worst.bits as usize <= 2 * (32 - fewest);
        assert!(worst.bands >= fewest && fewest > MATCHING_BANDS && within, "{name}, {changes}: {worst:?}");
    }
}

#[test]
fn error_rates_on_phantoms() {
    for modality in [Modality::Flair, Modality::T1gd] {
        let volumes = phantoms(PHANTOMS, modality);
        check(modality.name(), &volumes, &volumes[..EXPORTED]);
    }
}

#[test]
fn error_rates_on_real_images() {
    for suffix in ["Flair", "T1c"] {
        let Some(volumes) = real(suffix) else { return };
        check(suffix, &volumes, &volumes);
    }
}

#[test]
fn tokens_match_as_sketches_do_and_only_under_one_key() {
    let volumes = phantoms(4, Modality::T1);
    let again = export(&volumes[0], &[Export::Ras, Export::Noisy(0.1)]);
    let of =
        |key: &StudyFingerprintKey, volume| key.fingerprint(&[], [(Modality::T1, &sketch(volume))]).unwrap();
    let ours = key(7, 0xab);
    let bands =
        of(&ours, &volumes[0]).images[&Modality::T1].equal_bands(&of(&ours, &again).images[&Modality::T1]);
    assert_eq!(bands, equal_bands(&sketch(&volumes[0]), &sketch(&again)));
    assert!(of(&ours, &volumes[0]).matches(&of(&ours, &again)));
    assert!(!of(&ours, &volumes[0]).matches(&of(&ours, &volumes[1])));
    for other in [key(8, 0xab), key(7, 0xac)] {
        assert!(!of(&ours, &volumes[0]).matches(&of(&other, &volumes[0])), "another consortium or study");
    }
    let shown = format!("{ours:?} {:?} {:?}", FingerprintKey::from_bytes([7; 32]), sketch(&again));
    assert!(shown.bytes().all(|byte| !byte.is_ascii_digit()), "{shown}");
}

#[test]
fn names_are_a_set_of_few() {
    let of = |aliases: &[&str]| key(7, 0xab).fingerprint(aliases, []);
    assert_eq!(of(&["brats21:00017", "a:1"]), of(&["a:1", "brats21:00017", "a:1"]));
    assert!(of(&["brats21:00017", "a:1"]).unwrap().matches(&of(&["b:2", "a:1"]).unwrap()));
    assert!(!of(&["brats21:00017"]).unwrap().matches(&of(&["brats21:00018"]).unwrap()));
    assert_eq!(of(&["1", "2", "3", "4", "5"]), Err(TooManyAliases(5)));
}
