//! Phantoms as a site sees them: folders that open, inputs that load, and a signal that can be learned.

use std::fs;
use std::path::Path;

use consilium_data::phantom::{Grid, PhantomCohort, PhantomError, ideal_auc, observed_auc};
use consilium_data::{Cohort, Layout, Split, Volume, load_input, preprocess};
use consilium_domain::{
    ClinicalBaseline, Design, Evaluation, Label, Modality, Preprocessing, Seed, Selection,
};

fn cohort(sites: usize, cases_per_site: usize, modalities: &[Modality]) -> PhantomCohort {
    PhantomCohort {
        sites,
        cases_per_site,
        signal: 2.33,
        seed: Seed::from_number(11),
        grid: Grid::Small,
        modalities: modalities.to_vec(),
    }
}

#[test]
fn a_written_site_opens_splits_and_loads() {
    let out = tempfile::tempdir().unwrap();
    let report = cohort(2, 10, &Modality::ALL[..]).write(out.path()).unwrap();
    let roots: Vec<_> = report.sites.iter().map(|site| site.folder.clone()).collect();
    let opened = Cohort::open(Layout::UpennGbm, &roots).unwrap();
    assert_eq!((opened.cases.len(), opened.excluded.len()), (20, 0));
    assert!(opened.cases.iter().all(|case| case.images.len() == 11));
    for (root, site) in report.sites.iter().enumerate() {
        let methylated = |case: &&consilium_data::Case| case.root == root && case.label == Label::Methylated;
        assert_eq!(opened.cases.iter().filter(methylated).count(), site.counts.methylated as usize);
    }
    let split = Split::deal(
        &opened,
        &Evaluation {
            folds: 3,
            holdout_fraction: 0.3,
            bins: 64,
            selection: Selection::Auc,
            route_samples: 0,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        },
        &Seed::from_number(1),
    );
    assert_eq!(split.holdout(&opened, Modality::T1).len(), 2 * 3);
    let profile = Preprocessing::TumourCrop { side: 16 };
    for modality in Modality::ALL {
        let input = load_input(&opened.cases[0], modality, profile).unwrap();
        assert_eq!(input.len(), 16 * 16 * 16);
    }
}

#[test]
fn writing_is_deterministic_and_a_site_does_not_depend_on_the_others() {
    let (one, three) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cohort(1, 2, &[Modality::Flair]).write(one.path()).unwrap();
    cohort(3, 4, &[Modality::T1gd, Modality::Flair]).write(three.path()).unwrap();
    let flair = |out: &Path, site: usize, case: usize| {
        let id = format!("UPENN-GBM-{site}000{case}_11");
        let path = format!("site-{site}/NIfTI-files/images_structural/{id}/{id}_FLAIR.nii.gz");
        fs::read(out.join(path)).unwrap()
    };
    for case in [1, 2] {
        assert!(flair(one.path(), 1, case) == flair(three.path(), 1, case));
    }
    assert!(flair(three.path(), 1, 1) != flair(three.path(), 2, 1));
}

#[test]
fn nothing_is_overwritten_and_bad_settings_are_named() {
    let out = tempfile::tempdir().unwrap();
    let phantoms = cohort(1, 1, &[Modality::T1]);
    fs::create_dir(out.path().join("site-1")).unwrap();
    assert!(matches!(phantoms.write(out.path()), Err(PhantomError::Exists { .. })));
    let signal = PhantomCohort { signal: f64::NAN, ..phantoms.clone() };
    let setting = |phantoms: PhantomCohort| phantoms.write(&out.path().join("new")).unwrap_err().to_string();
    assert!(setting(signal).contains("a signal from 0"));
    assert!(setting(PhantomCohort { sites: 0, ..phantoms.clone() }).contains("1 to 999 sites"));
    assert!(setting(PhantomCohort { modalities: vec![], ..phantoms }).contains("at least one modality"));
}

#[test]
fn a_full_head_fits_the_window_of_the_papers_profile() {
    let phantoms = PhantomCohort { grid: Grid::Full, ..cohort(1, 1, &[Modality::T2]) };
    let (_, patient) = phantoms.patients(0).next().unwrap();
    let scene = patient.scene(Grid::Full);
    let (image, mask) = (scene.image(Modality::T2), scene.mask());
    let brain = |volume: &Volume, inside: bool| {
        let window = |i: usize| {
            (0..140).contains(&(i / 57_600))
                && (39..211).contains(&(i / 240 % 240))
                && (44..208).contains(&(i % 240))
        };
        (0..volume.values().len()).filter(|&i| volume.values()[i] != 0.0 && window(i) == inside).count()
    };
    assert_eq!(brain(&image, false), 0);
    assert!(brain(&image, true) > 1_000_000);
    let input = preprocess(&image, &mask, Preprocessing::Schmitz2024).unwrap();
    assert!(input.contains(&1.0) && input.contains(&0.0));
}

#[test]
fn the_label_is_in_the_latent_score_and_nowhere_else() {
    let phantoms = cohort(3, 200, &[Modality::T1gd]);
    let scores = |phantoms: &PhantomCohort| -> Vec<(f64, bool)> {
        (0..3)
            .flat_map(|site| {
                phantoms.patients(site).map(|(l, p)| (p.latent(), l == Label::Methylated)).collect::<Vec<_>>()
            })
            .collect()
    };
    let observed = observed_auc(&scores(&phantoms)).unwrap();
    assert!((observed - ideal_auc(2.33)).abs() < 0.03, "{observed}");
    let none = observed_auc(&scores(&PhantomCohort { signal: 0.0, ..phantoms })).unwrap();
    assert!((none - 0.5).abs() < 0.06, "{none}");
}

/// Skewness of the input: a feature that sees only the rim's part of the signal. See the example
/// `phantom_features` for what more features reach.
fn skewness(input: &[f32]) -> f64 {
    let brain: Vec<f64> = input.iter().filter(|&&v| v != 0.0).map(|&v| f64::from(v)).collect();
    brain.iter().map(|v| v.powi(3)).sum::<f64>() / brain.len() as f64
}

#[test]
fn one_simple_feature_sees_some_of_the_signal_and_not_all() {
    let auc = |signal: f64| {
        let phantoms = PhantomCohort { signal, ..cohort(1, 160, &[Modality::T1gd]) };
        let scores: Vec<(f64, bool)> = phantoms
            .patients(0)
            .map(|(label, patient)| {
                let scene = patient.scene(Grid::Small);
                let profile = Preprocessing::TumourCrop { side: 24 };
                let input = preprocess(&scene.image(Modality::T1gd), &scene.mask(), profile).unwrap();
                (skewness(&input), label == Label::Methylated)
            })
            .collect();
        observed_auc(&scores).unwrap()
    };
    let (with, without) = (auc(2.33), auc(0.0));
    assert!((0.65..0.88).contains(&with), "{with}");
    assert!((without - 0.5).abs() < 0.13, "{without}");
}
