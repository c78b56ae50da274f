//! Folders in the layouts, made of empty files.

use consilium_domain::Modality;

use crate::cohort::fixture::{Folder, aliases, labels, reasons, used};
use crate::{Cohort, CohortError, Exclusion, Layout};

/// A scan of 2021 with an image and a mask.
fn scan_2021(digits: &str) -> [String; 2] {
    ["t1ce", "seg"].map(|kind| format!("BraTS2021_{digits}/BraTS2021_{digits}_{kind}.nii.gz"))
}

/// A scan of 2023 with an image and a mask.
fn scan_2023(name: &str) -> [String; 2] {
    ["t1c", "seg"].map(|kind| format!("BraTS-GLI-{name}/BraTS-GLI-{name}-{kind}.nii.gz"))
}

fn modalities(cohort: &Cohort) -> Vec<Modality> {
    cohort.cases[0].images.keys().copied().collect()
}

#[test]
fn all_images_of_2021_are_found() {
    let files = ["flair", "t1", "t1ce", "t2", "seg"]
        .map(|kind| format!("BraTS2021_00017/BraTS2021_00017_{kind}.nii.gz"));
    let folder = Folder::new().table("train_labels.csv", "BraTS21ID,MGMT_value\n00017,1\n").with(&files);
    let cohort = folder.open("rsna-miccai".parse().unwrap()).unwrap();
    assert_eq!(cohort, folder.open(Layout::Brats2021).unwrap());
    assert_eq!(used(&cohort), [("BraTS2021_00017", "BraTS2021_00017")]);
    assert_eq!(modalities(&cohort), [Modality::T1, Modality::T1gd, Modality::T2, Modality::Flair]);
    assert!(cohort.cases[0].images[&Modality::T1gd].ends_with("BraTS2021_00017_t1ce.nii.gz"));
    assert!(cohort.cases[0].mask.ends_with("BraTS2021_00017_seg.nii.gz"));
    assert_eq!(aliases(&cohort, 0), ["brats21:00017"]);
}

#[test]
fn all_images_of_2023_are_found_and_later_time_points_are_follow_ups() {
    let kinds = ["t1n", "t1c", "t2w", "t2f", "seg"];
    let files = kinds.map(|kind| format!("BraTS-GLI-00001-000/BraTS-GLI-00001-000-{kind}.nii.gz"));
    let table = "BraTS23ID,MGMT_value\nBraTS-GLI-00001,0\nBraTS-GLI-00002-001,1\n";
    let folder = Folder::new()
        .table("train_labels.csv", table)
        .with(&files)
        .with(scan_2023("00001-001"))
        .with(scan_2023("00002-001"))
        .with(scan_2023("00003-000"));
    let cohort = folder.open(Layout::Brats2023).unwrap();
    assert_eq!(used(&cohort), [("BraTS-GLI-00001", "BraTS-GLI-00001-000")]);
    assert_eq!(modalities(&cohort), [Modality::T1, Modality::T1gd, Modality::T2, Modality::Flair]);
    assert!(cohort.cases[0].images[&Modality::Flair].ends_with("BraTS-GLI-00001-000-t2f.nii.gz"));
    assert_eq!(aliases(&cohort, 0), ["brats23:00001"]);
    let expected = [
        ("BraTS-GLI-00001-001", Exclusion::FollowUp),
        ("BraTS-GLI-00002-001", Exclusion::FollowUp),
        ("BraTS-GLI-00003-000", Exclusion::NotInTable),
    ];
    assert_eq!(reasons(&cohort), expected.into());
}

#[test]
fn withdrawn_patients_are_left_out_under_a_reason_of_their_own() {
    let table = "BraTS21ID,MGMT_value\n00109,1\n00123,0\n00709,1\n00110,1\n00111,0\n00112,0\n00113,\n";
    let folder = Folder::new()
        .table("BraTS2021_Training_Data/train_labels.csv", table)
        .with(
            ["00109", "00123", "00709", "00110", "00200"]
                .iter()
                .flat_map(|digits| scan_2021(digits).map(|file| format!("BraTS2021_Training_Data/{file}"))),
        )
        .with(["BraTS2021_Training_Data/BraTS2021_00111/BraTS2021_00111_t1.nii"]);
    let cohort = folder.open(Layout::Brats2021).unwrap();
    assert_eq!(labels(&cohort), (1, 0));
    let expected = [
        ("BraTS2021_00109", Exclusion::Withdrawn),
        ("BraTS2021_00123", Exclusion::Withdrawn),
        ("BraTS2021_00709", Exclusion::Withdrawn),
        ("BraTS2021_00111", Exclusion::NoMask),
        ("BraTS2021_00112", Exclusion::NoMask),
        ("BraTS2021_00113", Exclusion::MgmtNotAvailable),
        ("BraTS2021_00200", Exclusion::NotInTable),
    ];
    assert_eq!(reasons(&cohort), expected.into());
}

#[test]
fn one_release_is_not_taken_for_the_other() {
    let older = Folder::new().table("train_labels.csv", "BraTS21ID,MGMT_value\n").with(scan_2021("00001"));
    let error = older.open(Layout::Brats2023).unwrap_err().to_string();
    assert!(error.contains("BraTS-GLI-00000-000 folder") && error.contains("brats2023"), "{error}");
    let newer = Folder::new().with(scan_2023("00001-000"));
    let error = newer.open(Layout::Brats2021).unwrap_err();
    assert!(matches!(error, CohortError::NotThisLayout { layout: Layout::Brats2021, .. }), "{error}");
    assert!(newer.open(Layout::Brats2023).unwrap_err().to_string().contains("no train_labels.csv"));
}
