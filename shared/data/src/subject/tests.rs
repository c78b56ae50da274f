//! Folders made of empty files, and the real ones of three patients under plain names.

use std::path::Path;

use consilium_domain::{Modality, Preprocessing};

use crate::cohort::fixture::Folder;
use crate::{Layout, LoadError, ScanFault, Subject, SubjectError, Subjects, load_pair};

fn one(folder: &Folder, layout: Option<Layout>) -> Subject {
    Subject::in_folder(&folder.root(), layout).unwrap()
}

fn fault(folder: &Path, layout: Option<Layout>) -> ScanFault {
    match Subject::in_folder(folder, layout).unwrap_err() {
        SubjectError::Scan { place, fault } if place == folder => fault,
        other => panic!("{other}"),
    }
}

fn modalities(subject: &Subject) -> Vec<Modality> {
    subject.images.keys().copied().collect()
}

fn ends(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The names found, and those left out with their fault.
fn sides(subjects: &Subjects) -> (Vec<&str>, Vec<(&str, &ScanFault)>) {
    let found = subjects.found.iter().map(|subject| subject.name.reveal()).collect();
    let left_out = subjects.left_out.iter().map(|left| match &left.reason {
        SubjectError::Scan { fault, .. } => (left.name.reveal(), fault),
        other => panic!("{other}"),
    });
    (found, left_out.collect())
}

const STRUCTURAL: [Modality; 4] = [Modality::T1, Modality::T1gd, Modality::T2, Modality::Flair];

#[test]
fn each_layout_finds_its_own_names_whether_it_is_named_or_recognised() {
    let cases: [(Layout, &str, [&str; 4], &str); 4] = [
        (Layout::UpennGbm, "P-7_", ["T1", "T1GD", "T2", "FLAIR"], "segm"),
        (Layout::UcsfPdgm, "UCSF-PDGM-0004_", ["T1", "T1c", "T2", "FLAIR"], "tumor_segmentation"),
        (Layout::Brats2021, "BraTS2021_00017_", ["t1", "t1ce", "t2", "flair"], "seg"),
        (Layout::Brats2023, "BraTS-GLI-00017-001-", ["t1n", "t1c", "t2w", "t2f"], "seg"),
    ];
    for (layout, beginning, images, mask) in cases {
        let endings = images.into_iter().chain([mask, "SWI_bias", "brain_segmentation", "T1_unstripped"]);
        let folder = Folder::new().with(endings.map(|ending| format!("{beginning}{ending}.nii.gz"))).with([
            "notes.txt",
            "._P-7_T1GD.nii.gz",
            "old/P-7_T1GD.nii.gz",
        ]);
        let subject = one(&folder, Some(layout));
        assert_eq!(subject, one(&folder, None), "{layout}");
        assert_eq!(modalities(&subject), STRUCTURAL, "{layout}");
        assert_eq!(ends(&subject.images[&Modality::T1gd]), format!("{beginning}{}.nii.gz", images[1]));
        assert_eq!(ends(&subject.mask), format!("{beginning}{mask}.nii.gz"));
        let name = beginning.strip_suffix(['_', '-']).unwrap();
        assert_eq!(subject.name.reveal(), name);
        let debug = format!("{subject:?} {:?}", subject.pair(Modality::T1).unwrap());
        assert!(!debug.contains(name) && !debug.contains(".nii"), "{debug}");
    }
}

#[test]
fn of_upenn_the_corrected_mask_is_preferred_and_other_series_count_where_they_lie_there() {
    let folder = Folder::new().with(
        ["automated_approx_segm", "segm", "DSC_ap-rCBV", "DTI_FA"].map(|kind| format!("P_11_{kind}.nii")),
    );
    let subject = one(&folder, None);
    assert_eq!(modalities(&subject), [Modality::DtiFa, Modality::DscApRcbv]);
    assert_eq!((ends(&subject.mask), subject.name.reveal()), ("P_11_segm.nii", "P_11"));
    let automated = Folder::new().with(["P_11_automated_approx_segm.nii", "P_11_T1.nii"]);
    assert_eq!(ends(&one(&automated, None).mask), "P_11_automated_approx_segm.nii");
}

#[test]
fn a_scan_within_the_collection_has_its_mask_where_the_collection_keeps_it() {
    for structural in ["images_structural", "images_structural/images_structural"] {
        let folder = Folder::new().with([
            &format!("{structural}/P_21/P_21_T1GD.nii.gz"),
            "images_DSC/P_21/P_21_DSC_PH.nii.gz",
            "automated_segm/P_21_automated_approx_segm.nii.gz",
            "automated_segm/P_11_automated_approx_segm.nii.gz",
        ]);
        let scan = folder.root().join(structural).join("P_21");
        for layout in [None, Some(Layout::UpennGbm)] {
            let subject = Subject::in_folder(&scan, layout).unwrap();
            assert_eq!(modalities(&subject), [Modality::T1gd, Modality::DscPh]);
            assert_eq!(ends(&subject.mask), "P_21_automated_approx_segm.nii.gz");
            assert_eq!(subject.name.reveal(), "P_21");
        }
    }
}

#[test]
fn plain_names_are_the_modalities_own_and_the_scan_is_named_after_its_folder() {
    let files = Modality::ALL.map(|modality| format!("case 1/{modality}.nii.gz"));
    let folder = Folder::new().with(files).with(["case 1/mask.nii", "case 1/t1.nii", "case 1/brainmask.nii"]);
    let subject = Subject::in_folder(&folder.root().join("case 1"), None).unwrap();
    assert_eq!(modalities(&subject), Modality::ALL);
    assert_eq!((subject.name.reveal(), ends(&subject.mask)), ("case 1", "mask.nii"));
    assert_eq!(ends(&subject.images[&Modality::T1]), "t1.nii.gz", "the compressed one of the same name");
    assert_eq!(fault(&folder.root().join("case 1"), Some(Layout::UcsfPdgm)), ScanFault::NoImage);
}

#[test]
fn names_that_layouts_read_differently_are_refused_until_the_layout_is_named() {
    let folder = Folder::new().with(["P_T1.nii", "P_T1GD.nii", "P_segm.nii", "P_tumor_segmentation.nii"]);
    let root = folder.root();
    assert_eq!(fault(&root, None), ScanFault::Ambiguous { layouts: vec!["upenn-gbm", "ucsf-pdgm"] });
    let text = Subject::in_folder(&root, None).unwrap_err().to_string();
    assert!(text.contains("(upenn-gbm, ucsf-pdgm): name the layout"), "{text}");
    assert_eq!(modalities(&one(&folder, Some(Layout::UpennGbm))), [Modality::T1, Modality::T1gd]);
    assert_eq!(ends(&one(&folder, Some(Layout::UcsfPdgm)).mask), "P_tumor_segmentation.nii");
    let plain = Folder::new().with(["P_T1c.nii", "P_tumor_segmentation.nii", "flair.nii"]);
    assert_eq!(
        fault(&plain.root(), None),
        ScanFault::Ambiguous { layouts: vec!["ucsf-pdgm", "plain names"] }
    );
}

#[test]
fn what_is_not_one_whole_scan_is_refused() {
    for (files, expected) in [
        (&["notes.txt", "T1_P.nii"][..], ScanFault::NoImage),
        (&["P_seg.nii"], ScanFault::NoImage),
        (&["P_t1ce.nii"], ScanFault::NoMask),
        (&["P_t1ce.nii", "Q_t1ce.nii", "P_seg.nii"], ScanFault::TwoFiles { kind: "t1gd" }),
        (&["P_t1ce.nii", "P_seg.nii", "Q_seg.nii"], ScanFault::TwoFiles { kind: "mask" }),
        (&["P_t1ce.nii", "Q_seg.nii"], ScanFault::SeveralScans { count: 2 }),
    ] {
        let folder = Folder::new().with(files);
        for layout in [None, Some(Layout::Brats2021)] {
            assert_eq!(fault(&folder.root(), layout), expected, "{files:?}");
        }
    }
    let absent = Subject::in_folder(&Folder::new().root().join("absent"), None).unwrap_err();
    assert!(absent.to_string().contains("absent: cannot be listed"), "{absent}");
}

#[test]
fn a_manifest_of_one_row_needs_no_label() {
    let table = "patient,scan,mask,t1gd\nP,late,m.nii,t.nii\n";
    let folder = Folder::new().table("manifest.csv", table).with(["m.nii", "t.nii"]);
    let file = folder.root().join("manifest.csv");
    let subject = one(&folder, None);
    assert_eq!((subject.name.reveal(), modalities(&subject)), ("P/late", vec![Modality::T1gd]));
    assert_eq!(subject, Subject::in_folder(&file, None).unwrap());
    assert_eq!(subject, Subject::in_folder(&file, Some(Layout::Manifest)).unwrap());
    // Files in the folder that the manifest does not name are another opinion.
    let folder = folder.with(["flair.nii"]);
    assert_eq!(
        fault(&folder.root(), None),
        ScanFault::Ambiguous { layouts: vec!["manifest", "plain names"] }
    );
    assert_eq!(one(&folder, Some(Layout::Manifest)), subject);
    let two = Folder::new().table("m.csv", "patient,mask,t1\nP,m,t\nQ,n,u\n");
    let error = Subject::in_folder(&two.root().join("m.csv"), None).unwrap_err();
    assert!(matches!(error, SubjectError::NotOneRow { count: 2, .. }), "{error}");
    let missing = Folder::new().table("manifest.csv", "patient,label,mask,t1\nP,maybe,m,t\n");
    assert_eq!(fault(&missing.root(), Some(Layout::Manifest)), ScanFault::FileMissing);
}

#[test]
fn every_scan_of_upenn_is_found_from_any_of_its_folders() {
    let folder = Folder::new().with(
        [
            "images_structural/A_11/A_11_T1.nii.gz",
            "images_segm/A_11_segm.nii.gz",
            "images_structural/A_21/A_21_T1.nii.gz",
            "automated_segm/A_21_automated_approx_segm.nii.gz",
            "images_DTI/images_DTI/B_11/B_11_DTI_FA.nii.gz",
            "automated_segm/B_11_automated_approx_segm.nii.gz",
            "images_DSC/C_11/C_11_DSC_PH.nii.gz",
            "images_segm/D_11_segm.nii.gz",
            "images_segm/readme.nii.gz",
            "images_structural/old/A_11_T1.nii.gz",
        ]
        .map(|file| format!("NIfTI-files/{file}")),
    );
    let expected =
        (vec!["A_11", "A_21", "B_11"], vec![("C_11", &ScanFault::NoMask), ("D_11", &ScanFault::NoImage)]);
    for layout in [None, Some(Layout::UpennGbm)] {
        assert_eq!(sides(&Subject::all_in(&folder.root(), layout).unwrap()), expected);
    }
    let error = Subject::all_in(&folder.root(), Some(Layout::UcsfPdgm)).unwrap_err().to_string();
    assert!(error.contains("has no UCSF-PDGM-0000_nifti folder"), "{error}");
}

#[test]
fn every_scan_of_the_other_collections_is_found_without_a_table() {
    let ucsf = Folder::new().with(["0004", "0004_FU001d"].into_iter().flat_map(|exam| {
        ["T1c", "tumor_segmentation"]
            .map(|kind| format!("UCSF-PDGM-v5/UCSF-PDGM-{exam}_nifti/UCSF-PDGM-{exam}_{kind}.nii.gz"))
    }));
    let older = Folder::new().with([
        "BraTS2021_00109/BraTS2021_00109_t1.nii.gz",
        "BraTS2021_00109/BraTS2021_00109_seg.nii.gz",
        "BraTS2021_00110/BraTS2021_00110_t1.nii.gz",
    ]);
    let newer = Folder::new().with(["000", "001"].into_iter().flat_map(|time| {
        ["t1c", "seg"].map(|kind| format!("BraTS-GLI-00017-{time}/BraTS-GLI-00017-{time}-{kind}.nii.gz"))
    }));
    for (folder, layout, found, left_out) in [
        (&ucsf, Layout::UcsfPdgm, vec!["UCSF-PDGM-0004", "UCSF-PDGM-0004_FU001d"], vec![]),
        (&older, Layout::Brats2021, vec!["BraTS2021_00109"], vec![("BraTS2021_00110", &ScanFault::NoMask)]),
        (&newer, Layout::Brats2023, vec!["BraTS-GLI-00017-000", "BraTS-GLI-00017-001"], vec![]),
    ] {
        for layout in [None, Some(layout)] {
            let subjects = Subject::all_in(&folder.root(), layout).unwrap();
            assert_eq!(sides(&subjects), (found.clone(), left_out.clone()));
        }
    }
}

#[test]
fn every_row_of_a_manifest_is_a_scan_whatever_its_label() {
    let table = "patient,scan,label,mask,t1\nQ,,1,m,t\nP,b,unknown,n,u\nP,a,nonsense,o,absent\nR,,0,,v\n";
    let folder = Folder::new().table("manifest.csv", table).with(["m", "t", "n", "u", "o", "v"]);
    let subjects = Subject::all_in(&folder.root(), None).unwrap();
    let left_out = vec![("P/a", &ScanFault::FileMissing), ("R", &ScanFault::NoMask)];
    assert_eq!(sides(&subjects), (vec!["P/b", "Q"], left_out));
}

#[test]
fn in_a_folder_of_no_layout_each_folder_is_a_scan() {
    let folder = Folder::new().with([
        "b/P_T1GD.nii",
        "b/P_segm.nii",
        "a/t1gd.nii",
        "a/mask.nii",
        "logs/run.txt",
        "mixed/P_t1ce.nii",
        "mixed/Q_seg.nii",
        ".hidden/t1.nii",
        "README.md",
    ]);
    let subjects = Subject::all_in(&folder.root(), None).unwrap();
    let left_out = vec![("logs", &ScanFault::NoImage), ("mixed", &ScanFault::SeveralScans { count: 2 })];
    assert_eq!(sides(&subjects), (vec!["a", "b"], left_out));
    let empty = Folder::new();
    let error = Subject::all_in(&empty.root(), None).unwrap_err();
    assert!(matches!(error, SubjectError::NoScans { .. }), "{error}");
    let two = Folder::new().with(["BraTS2021_00001/x", "UCSF-PDGM-0004_nifti/x"]);
    let error = Subject::all_in(&two.root(), None).unwrap_err().to_string();
    assert!(error.contains("(ucsf-pdgm, brats2021)"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_name_that_would_drive_the_terminal_is_made_harmless() {
    let folder =
        Folder::new().with(["a\u{1b}[2J/t1.nii", "a\u{1b}[2J/mask.nii", "P\u{7}_t1ce.nii", "P\u{7}_seg.nii"]);
    assert_eq!(one(&folder, None).name.reveal(), "P\u{fffd}");
    assert_eq!(Subject::all_in(&folder.root(), None).unwrap().found[0].name.reveal(), "a\u{fffd}[2J");
}

#[cfg(unix)]
#[test]
fn real_scans_under_plain_names_give_inputs() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2013_cc_by_nc_sa");
    if !images.is_dir() {
        println!("skipped: ../shared is absent");
        return;
    }
    let images = images.canonicalize().unwrap();
    let site = Folder::new();
    let patients = ["brats_2013_pat0001_1", "brats_2013_pat0002_1", "brats_2013_pat0003_1"];
    for patient in patients {
        let folder = site.root().join(patient);
        std::fs::create_dir(&folder).unwrap();
        let links =
            [("T1c_subtrMeanDivStd", "t1gd"), ("Flair_subtrMeanDivStd", "flair"), ("OTMultiClass", "mask")];
        for (from, to) in links.map(|(from, to)| (format!("{from}.nii.gz"), format!("{to}.nii.gz"))) {
            std::os::unix::fs::symlink(images.join(patient).join(from), folder.join(to)).unwrap();
        }
    }
    let subjects = Subject::all_in(&site.root(), None).unwrap();
    assert_eq!(sides(&subjects), (patients.to_vec(), vec![]));
    let subject = &subjects.found[0];
    let profile = Preprocessing::TumourCrop { side: 16 };
    let inputs = [Modality::T1gd, Modality::Flair]
        .map(|modality| load_pair(subject.pair(modality).unwrap(), profile).unwrap());
    assert!(inputs.iter().all(|input| input.len() == 16 * 16 * 16 && input.iter().all(|v| v.is_finite())));
    assert_ne!(inputs[0], inputs[1]);
    let absent = subject.pair(Modality::T2).unwrap_err();
    assert!(matches!(absent, LoadError::NoImage { modality: Modality::T2, .. }), "{absent}");
}
