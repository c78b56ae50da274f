//! Folders in the layout, whole and broken. The images are empty files: opening a cohort reads names only.

use std::fs;
use std::path::{Path, PathBuf};

use consilium_domain::{Label, Modality};

use crate::cohort::fixture::{Folder, labels, reasons, shared};
use crate::{Cohort, CohortError, Exclusion, Layout};

/// A folder with a table.
struct Site(Folder);

impl Site {
    fn new(rows: &[(&str, &str)]) -> Self {
        let rows: String = rows.iter().map(|(id, mgmt)| format!("{id},{mgmt}\n")).collect();
        let folder = Folder::new().table("UPENN-GBM_clinical_info_v2.1.csv", &format!("ID,MGMT\n{rows}"));
        fs::create_dir_all(folder.root().join("NIfTI-files/images_structural")).unwrap();
        Self(folder)
    }

    fn root(&self) -> PathBuf {
        self.0.root()
    }

    /// Creates files under `NIfTI-files/`.
    fn with(self, files: &[&str]) -> Self {
        Self(self.0.with(files.iter().map(|file| format!("NIfTI-files/{file}"))))
    }

    fn open(&self) -> Cohort {
        self.0.open(Layout::UpennGbm).unwrap()
    }
}

#[test]
fn every_kind_of_image_is_found_where_the_archive_unpacks_it() {
    let site = Site::new(&[("P-1_11", "Methylated")]).with(&[
        "images_structural/P-1_11/P-1_11_T1.nii.gz",
        "images_structural/P-1_11/P-1_11_FLAIR.nii",
        "images_structural/P-1_11/old/P-1_11_T2.nii.gz",
        "images_DSC/P-1_11/P-1_11_DSC_ap-rCBV.nii.gz",
        "images_DTI/images_DTI/P-1_11/P-1_11_DTI_FA.nii.gz",
        "images_DTI/images_DTI/P-1_11/P-1_11/P-1_11_DTI_AD.nii.gz",
        "automated_segm/P-1_11_automated_approx_segm.nii.gz",
    ]);
    let cohort = site.open();
    let [case] = cohort.cases.as_slice() else { panic!("one case") };
    assert_eq!(case.label, Label::Methylated);
    assert_eq!((case.patient.reveal(), case.scan.reveal()), ("P-1", "P-1_11"));
    let found: Vec<Modality> = case.images.keys().copied().collect();
    assert_eq!(
        found,
        [Modality::T1, Modality::Flair, Modality::DtiAd, Modality::DtiFa, Modality::DscApRcbv],
        "the T2 in old/ is not used"
    );
    assert!(!format!("{case:?}").contains("P-1"), "a case's Debug does not show who it is");
    // The images folder itself is as good a root as the folder that holds it.
    let inner = Cohort::open(Layout::UpennGbm, &[site.root().join("NIfTI-files")]).unwrap();
    assert_eq!(inner, cohort);
}

#[test]
fn a_corrected_mask_is_preferred() {
    let site = Site::new(&[("P-1_11", "Unmethylated")]).with(&[
        "images_structural/P-1_11/P-1_11_T1.nii.gz",
        "automated_segm/P-1_11_automated_approx_segm.nii.gz",
        "images_segm/P-1_11_segm.nii.gz",
    ]);
    assert!(site.open().cases[0].mask.ends_with("images_segm/P-1_11_segm.nii.gz"));
}

#[test]
fn each_scan_left_out_is_counted_under_one_reason() {
    let site = Site::new(&[
        ("A_11", "Methylated"),
        ("A_21", "Methylated"),
        ("B_11", "Indeterminate"),
        ("C_11", "Not Available"),
        ("D_11", "Unmethylated"),
        ("E_11", "Unmethylated"),
    ])
    .with(&[
        "images_structural/A_11/A_11_T1.nii.gz",
        "images_segm/A_11_segm.nii.gz",
        "images_structural/D_11/D_11_T1.nii.gz",
        "images_segm/E_11_segm.nii.gz",
        "images_structural/X_11/X_11_T1.nii.gz",
        "images_structural/X_21/X_21_T1.nii.gz",
        "images_structural/old/X_11_T1.nii.gz",
        "images_structural/images_structural/Y_11/Y_11_T1.nii.gz",
    ]);
    let cohort = site.open();
    assert_eq!(cohort.cases.len(), 1);
    let expected = [
        (Exclusion::FollowUp, 2),
        (Exclusion::MgmtIndeterminate, 1),
        (Exclusion::MgmtNotAvailable, 1),
        (Exclusion::NoMask, 1),
        (Exclusion::NoImage, 1),
        (Exclusion::NotInTable, 2),
    ];
    assert_eq!(cohort.exclusions(), expected.into());
    assert_eq!(reasons(&cohort)["Y_11"], Exclusion::NotInTable);
}

#[test]
fn folders_of_one_hospital_are_joined_unless_they_share_a_patient() {
    let files = |id: &str| {
        [format!("images_structural/{id}/{id}_T1.nii.gz"), format!("images_segm/{id}_segm.nii.gz")]
    };
    let site = |id: &str| {
        let files = files(id);
        Site::new(&[(id, "Methylated")]).with(&files.each_ref().map(String::as_str))
    };
    let (a, b, again) = (site("A_11"), site("B_11"), site("A_11"));
    let joined = Cohort::open(Layout::UpennGbm, &[b.root(), a.root()]).unwrap();
    let listed: Vec<(usize, &str)> =
        joined.cases.iter().map(|case| (case.root, case.patient.reveal())).collect();
    assert_eq!(listed, [(0, "B"), (1, "A")]);

    let error = Cohort::open(Layout::UpennGbm, &[a.root(), b.root(), again.root()]).unwrap_err();
    let CohortError::SharedPatients { first, second, count: 1 } = error else { panic!("{error}") };
    assert_eq!((first, second), (a.root(), again.root()));
}

#[test]
fn a_folder_in_another_layout_is_refused_with_what_is_missing() {
    let open = |root: &Path| Cohort::open(Layout::UpennGbm, &[root.to_owned()]).unwrap_err().to_string();
    let empty = tempfile::tempdir().unwrap();
    assert!(open(empty.path()).contains("no NIfTI-files/images_structural"));
    assert!(open(&empty.path().join("absent")).contains("no NIfTI-files/images_structural"));

    let site = Site::new(&[]);
    fs::write(site.root().join("UPENN-GBM_clinical_info_v1.0.csv"), "ID,MGMT\n").unwrap();
    assert!(open(&site.root()).contains("2 tables (*clinical_info*.csv)"));
    fs::remove_file(site.root().join("UPENN-GBM_clinical_info_v1.0.csv")).unwrap();
    fs::remove_file(site.root().join("UPENN-GBM_clinical_info_v2.1.csv")).unwrap();
    assert!(open(&site.root()).contains("no *clinical_info*.csv"));
    assert!(matches!(Cohort::open(Layout::UpennGbm, &[]), Err(CohortError::NoRoot)));
}

#[test]
fn the_public_tables_give_exactly_the_known_cohort() {
    for version in ["v1.0", "v2.1"] {
        let name = format!("UPENN-GBM_clinical_info_{version}.csv");
        let Some(text) = shared(&format!("upenn_gbm/{name}")) else { return };
        let scans: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        let files = scans.iter().flat_map(|id| {
            [
                format!("NIfTI-files/images_structural/{id}/{id}_T1GD.nii.gz"),
                format!("NIfTI-files/automated_segm/{id}_automated_approx_segm.nii.gz"),
            ]
        });
        let cohort = Folder::new().table(&name, &text).with(files).open(Layout::UpennGbm).unwrap();
        assert_eq!((scans.len(), labels(&cohort)), (671, (111, 151)), "{version}");
        let expected = [
            (Exclusion::FollowUp, 60),
            (Exclusion::MgmtIndeterminate, 27),
            (Exclusion::MgmtNotAvailable, 322),
        ];
        assert_eq!(cohort.exclusions(), expected.into(), "{version}");
        assert!(cohort.cases.iter().all(|case| case.aliases.len() == 1), "{version}");
        assert!((area_of_age(&cohort) - 0.568_164_190_680_747).abs() < 1e-12, "{version}");
    }
}

/// How often the methylated one of two patients is the older: what the baseline on age and sex starts from.
fn area_of_age(cohort: &Cohort) -> f64 {
    let ages = |label: Label| -> Vec<f64> {
        let of_label = cohort.cases.iter().filter(|case| case.label == label);
        of_label.map(|case| case.clinical.demographics.unwrap().features()[0]).collect()
    };
    let (methylated, unmethylated) = (ages(Label::Methylated), ages(Label::Unmethylated));
    let pairs = methylated.iter().flat_map(|one| unmethylated.iter().map(move |other| (one, other)));
    let right: f64 = pairs
        .map(|(one, other)| {
            if one > other {
                1.0
            } else if one < other {
                0.0
            } else {
                0.5
            }
        })
        .sum();
    right / (methylated.len() * unmethylated.len()) as f64
}
