//! Manifests over empty files.

use consilium_domain::Modality;

use crate::cohort::fixture::{Folder, aliases, reasons, used};
use crate::{Cohort, CohortError, Exclusion, Layout};

const HEADER: &str = "patient,scan,label,mask,t1gd,dsc-ph";

fn open(folder: &Folder) -> Cohort {
    folder.open(Layout::Manifest).unwrap()
}

#[test]
fn paths_start_at_the_manifests_folder_whether_it_or_its_folder_is_named() {
    let elsewhere = Folder::new().with(["mask.nii"]);
    let mask = elsewhere.root().join("mask.nii");
    let table = format!("{HEADER}\nP 1,,methylated,{},images/a.nii.gz,../b.nii\n", mask.display());
    let folder = Folder::new().table("site/manifest.csv", &table).with(["site/images/a.nii.gz", "b.nii"]);
    let site = folder.root().join("site");
    let cohort = Cohort::open(Layout::Manifest, std::slice::from_ref(&site)).unwrap();
    assert_eq!(used(&cohort), [("P 1", "P 1")]);
    let case = &cohort.cases[0];
    assert_eq!(case.mask, mask);
    assert_eq!(case.images[&Modality::T1gd], site.join("images/a.nii.gz"));
    assert_eq!(case.images[&Modality::DscPh], site.join("../b.nii"));
    let by_file = Cohort::open(Layout::Manifest, &[site.join("manifest.csv")]).unwrap();
    assert_eq!(by_file, cohort);
    assert!(Layout::Manifest.admits(&site.join("manifest.csv")) && Layout::Manifest.admits(&site));
    assert!(!Layout::UpennGbm.admits(&site.join("manifest.csv")));
}

#[test]
fn each_scan_left_out_has_one_reason() {
    let rows = "A,1,positive,a/m.nii,a/t.nii,\nB,1,positive,,b/t.nii,\nC,1,negative,c/m.nii,,\n\
        D,1,negative,d/m.nii,d/t.nii,d/absent.nii\nE,1,negative,d,e/t.nii,\nF,1,indeterminate,f/m.nii,f/t.nii,\n\
        G,1,unknown,g/m.nii,g/t.nii,\n";
    let folder = Folder::new()
        .table("manifest.csv", &format!("{HEADER}\n{rows}"))
        .with(["a/m.nii", "a/t.nii", "b/t.nii", "c/m.nii", "d/m.nii", "d/t.nii", "e/t.nii"]);
    let cohort = open(&folder);
    assert_eq!(used(&cohort), [("A", "1")]);
    let left_out: Vec<(Option<u64>, Exclusion)> =
        cohort.excluded.iter().map(|scan| (scan.line, scan.reason)).collect();
    let mut expected = [
        (Some(3), Exclusion::NoMask),
        (Some(4), Exclusion::NoImage),
        (Some(5), Exclusion::FileMissing),
        (Some(6), Exclusion::FileMissing),
        (Some(7), Exclusion::MgmtIndeterminate),
        (Some(8), Exclusion::MgmtNotAvailable),
    ];
    expected.sort_unstable();
    assert_eq!(left_out, expected);
}

#[test]
fn of_a_patients_usable_scans_the_first_by_name_is_the_case() {
    let rows =
        "P,late,1,1m,1t,\nP,early,1,2m,2t,\nP,absent,1,3m,3t,\nQ,x,1,4m,4t,\nQ,y,0,5m,5t,\nQ,z,,6m,6t,\n";
    let numbers = (1..=6).filter(|number| *number != 3);
    let folder = Folder::new()
        .table("manifest.csv", &format!("{HEADER}\n{rows}"))
        .with(numbers.flat_map(|number| [format!("{number}m"), format!("{number}t")]));
    let cohort = open(&folder);
    assert_eq!(used(&cohort), [("P", "early")]);
    let expected = [
        ("absent", Exclusion::FileMissing),
        ("late", Exclusion::SecondScan),
        ("x", Exclusion::LabelsDiffer),
        ("y", Exclusion::LabelsDiffer),
        ("z", Exclusion::MgmtNotAvailable),
    ];
    assert_eq!(reasons(&cohort), expected.into());
}

#[test]
fn aliases_of_all_scans_of_a_patient_are_the_cases() {
    let table = "patient,scan,label,mask,t1,alias\nUPENN-GBM-00001,a,1,m,t,BraTS2021_00017\n\
        UPENN-GBM-00001,b,unknown,,,brats21:00018 brats21:00017\nP-1,,0,n,u,\n";
    let folder = Folder::new().table("manifest.csv", table).with(["m", "t", "n", "u"]);
    let cohort = open(&folder);
    assert_eq!(aliases(&cohort, 1), ["brats21:00017", "brats21:00018", "upenn-gbm:UPENN-GBM-00001"]);
    assert!(cohort.cases[0].aliases.is_empty(), "a hospital's own name is no alias");
    assert!(!format!("{cohort:?}").contains("000"), "a cohort's Debug names nobody");
}

#[test]
fn two_names_that_share_an_alias_are_one_patient() {
    // A and C are linked by B only, which comes last and is not usable itself.
    let table =
        "patient,scan,label,mask,t1,alias\nA,2,1,m,t,x:1\nC,1,1,n,u,x:2\nD,1,0,o,v,x:3\nB,,,,,x:1 x:2\n";
    let folder = Folder::new().table("manifest.csv", table).with(["m", "t", "n", "u", "o", "v"]);
    let cohort = open(&folder);
    assert_eq!(used(&cohort), [("C", "1"), ("D", "1")]);
    assert_eq!((aliases(&cohort, 0), aliases(&cohort, 1)), (vec!["x:1", "x:2"], vec!["x:3"]));
    assert_eq!(reasons(&cohort)["2"], Exclusion::SecondScan);
}

#[cfg(unix)]
#[test]
fn links_to_files_are_files() {
    let folder = Folder::new().table("manifest.csv", &format!("{HEADER}\nP,,1,m,link,\nQ,,1,n,dangling,\n"));
    let folder = folder.with(["m", "n", "t"]);
    std::os::unix::fs::symlink(folder.root().join("t"), folder.root().join("link")).unwrap();
    std::os::unix::fs::symlink(folder.root().join("gone"), folder.root().join("dangling")).unwrap();
    let cohort = open(&folder);
    assert_eq!((used(&cohort), reasons(&cohort)), (vec![("P", "P")], [("Q", Exclusion::FileMissing)].into()));
}

#[test]
fn a_folder_without_a_manifest_is_refused() {
    let folder = Folder::new().with(["images.csv"]);
    for root in [folder.root(), folder.root().join("absent.csv")] {
        let error = Cohort::open(Layout::Manifest, &[root]).unwrap_err();
        assert!(matches!(error, CohortError::NotThisLayout { expected: "manifest.csv", .. }), "{error}");
    }
}
