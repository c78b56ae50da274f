//! A hospital of phantoms, taken in and dealt.

use std::path::{Path, PathBuf};

use consilium_data::phantom::{Grid, PhantomCohort};
use consilium_data::{
    CachePrecision, CacheSettings, Cohort, FingerprintKey, IMAGE_SKETCHER, InputCache, Layout,
};
use consilium_domain::{Arm, ClassCounts, Fold, Preprocessing, Seed, Study};
use consilium_model::Inputs as _;

use super::intake::{DUPLICATE, OTHER_MODALITIES, UNUSABLE_IMAGE};
use super::*;

const CASES: usize = 12;

fn study(modalities: &[Modality]) -> Study {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
    let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
    study.modalities = modalities.to_vec();
    study.preprocessing = Preprocessing::TumourCrop { side: 8 };
    study.evaluation.folds = 2;
    study
}

/// A hospital of phantoms with two modalities.
fn hospital(out: &Path) -> PathBuf {
    let cohort = PhantomCohort {
        sites: 1,
        cases_per_site: CASES,
        signal: 1.0,
        seed: Seed::from_number(1),
        grid: Grid::Small,
        modalities: vec![Modality::T1gd, Modality::Flair],
    };
    cohort.write_site(out, 0).unwrap().folder
}

/// The image of one modality of some patient.
fn image(folder: &Path, modality: Modality) -> PathBuf {
    Cohort::open(Layout::UpennGbm, &[folder.to_owned()]).unwrap().cases[3].images[&modality].clone()
}

/// A cache beside the folder.
fn cache(folder: &Path) -> InputCache {
    let settings = CacheSettings { max_bytes: 1 << 30, precision: CachePrecision::F32 };
    InputCache::open(&folder.with_extension("cache"), settings).unwrap().with_sketcher(IMAGE_SKETCHER)
}

fn intake(study: &Study, folder: &Path) -> Intake {
    Intake::open(study, Layout::UpennGbm, &[folder.to_owned()], &cache(folder)).unwrap()
}

fn deal(intake: &Intake, study: &Study, exclude: &[u32]) -> StudyData {
    intake.deal(study, &study.federation.sites[0], exclude).unwrap()
}

fn prepare(study: &Study, folder: &Path) -> StudyData {
    deal(&intake(study, folder), study, &[])
}

fn lane(modality: Modality, fold: u8) -> Lane {
    Lane { arm: Arm::Random, modality, fold: Fold(fold) }
}

fn names(inputs: &[&Input]) -> Vec<PatientId> {
    inputs.iter().map(|input| input.patient.clone()).collect()
}

fn counts(inputs: &[&Input]) -> ClassCounts {
    let mut counts = ClassCounts::default();
    inputs.iter().for_each(|input| counts.count(input.label));
    counts
}

#[test]
fn every_patient_is_trained_on_validated_or_held_out_as_the_summary_says() {
    let dir = tempfile::tempdir().unwrap();
    let data = prepare(&study(&[Modality::T1gd]), &hospital(dir.path()));
    let declared = data.summary().counts(Modality::T1gd);
    assert!(data.summary().excluded.is_empty(), "{:?}", data.summary().excluded);
    let mut held_out = Vec::new();
    for fold in 0..2 {
        let lane = lane(Modality::T1gd, fold);
        let sets =
            [data.training(&lane), data.set(&lane, CaseSet::Validation), data.set(&lane, CaseSet::Holdout)];
        let expected = [declared.training(lane.fold), declared.validation(lane.fold), declared.holdout];
        assert_eq!(sets.each_ref().map(|set| counts(set)), expected);
        let everybody: std::collections::BTreeSet<_> = sets.iter().flat_map(|set| names(set)).collect();
        assert_eq!((everybody.len(), sets.iter().map(Vec::len).sum::<usize>()), (CASES, CASES));
        held_out.push(names(&sets[2]));
    }
    assert!(held_out[0] == held_out[1], "the hold-out is the same in every lane");
}

#[test]
fn an_unusable_image_is_left_out_and_counted_and_the_patients_other_image_stays() {
    let dir = tempfile::tempdir().unwrap();
    let folder = hospital(dir.path());
    std::fs::write(image(&folder, Modality::Flair), b"not an image").unwrap();
    let data = prepare(&study(&[Modality::T1gd, Modality::Flair]), &folder);
    assert_eq!(data.summary().excluded, [(UNUSABLE_IMAGE.to_owned(), 1)].into());
    let patients = |modality| {
        let lane = lane(modality, 0);
        data.training(&lane).len()
            + data.set(&lane, CaseSet::Validation).len()
            + data.set(&lane, CaseSet::Holdout).len()
    };
    assert_eq!((patients(Modality::T1gd), patients(Modality::Flair)), (CASES, CASES - 1));
}

#[test]
fn patients_without_an_input_for_the_study_are_not_dealt() {
    let dir = tempfile::tempdir().unwrap();
    let folder = hospital(dir.path());
    std::fs::remove_file(image(&folder, Modality::T1gd)).unwrap();
    let data = prepare(&study(&[Modality::T1gd]), &folder);
    assert_eq!(data.summary().excluded, [(OTHER_MODALITIES.to_owned(), 1)].into());
    let declared = data.summary().counts(Modality::T1gd);
    let totals: Vec<u32> = declared.folds.iter().map(|fold| fold.total()).collect();
    assert_eq!(totals.iter().sum::<u32>() + declared.holdout.total(), CASES as u32 - 1);
    assert!(totals[0].abs_diff(totals[1]) <= 1, "{totals:?}");
}

#[test]
fn inputs_are_read_from_the_cache_and_a_second_intake_builds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (study, folder) = (study(&[Modality::T1gd]), hospital(dir.path()));
    let data = prepare(&study, &folder);
    let cache = cache(&folder);
    let again = Intake::open(&study, Layout::UpennGbm, std::slice::from_ref(&folder), &cache).unwrap();
    assert_eq!((cache.stats().built, cache.stats().hits), (0, CASES as u64));
    assert_eq!(deal(&again, &study, &[]).summary(), data.summary());
    let inputs = LaneInputs { inputs: data.training(&lane(Modality::T1gd, 0)), shape: [8; 3], cache: &cache };
    let mut values = vec![0.0; 512];
    inputs.read(0, &mut values).unwrap();
    assert!(values.iter().any(|&value| value != 0.0));
}

#[test]
fn excluded_cases_are_dealt_nowhere_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (study, folder) = (study(&[Modality::T1gd]), hospital(dir.path()));
    let intake = intake(&study, &folder);
    let everybody = |data: &StudyData| {
        let lane = lane(Modality::T1gd, 0);
        let mut all = names(&data.training(&lane));
        all.extend(
            [CaseSet::Validation, CaseSet::Holdout].iter().flat_map(|&set| names(&data.set(&lane, set))),
        );
        all.sort();
        all
    };
    let (all, fewer) = (everybody(&deal(&intake, &study, &[])), deal(&intake, &study, &[0, 5]));
    let rest: Vec<PatientId> = all
        .iter()
        .enumerate()
        .filter(|(number, _)| ![0, 5].contains(number))
        .map(|(_, p)| p.clone())
        .collect();
    assert_eq!(everybody(&fewer), rest, "cases are numbered in the order of patients");
    assert_eq!(fewer.summary().excluded, [(DUPLICATE.to_owned(), 2)].into());
}

#[test]
fn a_case_has_the_fingerprint_of_its_copy_under_another_name_and_no_other_case_does() {
    let dir = tempfile::tempdir().unwrap();
    let (study, folder) = (study(&[Modality::T1gd, Modality::Flair]), hospital(dir.path()));
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let renamed = |name: &str| name.replace("UPENN-GBM-", "UPENN-GBM-7");
    copy_renamed(&folder, &copy, &renamed);
    let key = FingerprintKey::from_bytes([7; 32]).for_study(study.hash());
    let [ours, theirs] = [&folder, &copy].map(|folder| intake(&study, folder).fingerprints(&key).unwrap());
    for (i, ours) in ours.iter().enumerate() {
        for (j, theirs) in theirs.iter().enumerate() {
            assert_eq!(ours.matches(theirs), i == j, "{i} {j}");
        }
    }
}

/// A folder with every file, and every name in the table, renamed.
fn copy_renamed(from: &Path, to: &Path, renamed: &dyn Fn(&str) -> String) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(renamed(entry.file_name().to_str().unwrap()));
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_renamed(&entry.path(), &target, renamed);
        } else if target.extension().is_some_and(|extension| extension == "csv") {
            std::fs::write(&target, renamed(&std::fs::read_to_string(entry.path()).unwrap())).unwrap();
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
