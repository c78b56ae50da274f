//! Folders in the layout, whole and broken. The images are empty files: opening a cohort reads names only.

use std::fs;
use std::path::{Path, PathBuf};

use consilium_domain::{Label, Modality};

use crate::{Cohort, CohortError, Exclusion, Layout};

/// A folder under construction, removed when dropped.
struct Site(tempfile::TempDir);

impl Site {
    fn new(rows: &[(&str, &str)]) -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let rows: String = rows.iter().map(|(id, mgmt)| format!("{id},{mgmt}\n")).collect();
        fs::write(site.0.path().join("UPENN-GBM_clinical_info_v2.1.csv"), format!("ID,MGMT\n{rows}"))
            .unwrap();
        fs::create_dir_all(site.0.path().join("NIfTI-files/images_structural")).unwrap();
        site
    }

    fn root(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Creates files under `NIfTI-files/`.
    fn with(self, files: &[&str]) -> Self {
        for file in files {
            let path = self.root().join("NIfTI-files").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        self
    }

    fn open(&self) -> Cohort {
        Cohort::open(Layout::UpennGbm, &[self.root()]).unwrap()
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
    assert_eq!(case.patient.reveal(), "P-1");
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
    ]);
    let cohort = site.open();
    assert_eq!(cohort.cases.len(), 1);
    let expected = [
        (Exclusion::FollowUp, 1),
        (Exclusion::MgmtIndeterminate, 1),
        (Exclusion::MgmtNotAvailable, 1),
        (Exclusion::NoMask, 1),
        (Exclusion::NoImage, 1),
        (Exclusion::NotInTable, 1),
    ];
    assert_eq!(cohort.exclusions, expected.into());
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
    assert!(open(&site.root()).contains("2 clinical tables"));
    fs::remove_file(site.root().join("UPENN-GBM_clinical_info_v1.0.csv")).unwrap();
    fs::remove_file(site.root().join("UPENN-GBM_clinical_info_v2.1.csv")).unwrap();
    assert!(open(&site.root()).contains("no *clinical_info*.csv"));
    assert!(matches!(Cohort::open(Layout::UpennGbm, &[]), Err(CohortError::NoRoot)));
    assert_eq!("upenn-gbm".parse(), Ok(Layout::UpennGbm));
    assert!("brats".parse::<Layout>().is_err());
}
