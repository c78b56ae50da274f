//! The check on three real patients with glioma, through a manifest written here. Skipped without
//! `../shared`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_data::Layout;
use consilium_data::check::{CheckOptions, Report, check, write_page};

const PATIENTS: [&str; 3] = ["brats_2013_pat0001_1", "brats_2013_pat0002_1", "brats_2013_pat0003_1"];

fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2013_cc_by_nc_sa");
    if folder.is_dir() {
        return Some(folder.canonicalize().unwrap());
    }
    println!("skipped: ../shared is absent");
    None
}

/// A manifest in a folder of its own, with `mask` as everybody's mask.
fn checked(images: &Path, site: &Path, mask: &str) -> Report {
    let mut rows = "patient,label,mask,t1gd,flair\n".to_owned();
    for (number, patient) in PATIENTS.into_iter().enumerate() {
        let folder = images.join(patient);
        let file = |name: &str| folder.join(format!("{name}.nii.gz")).display().to_string();
        let [t1gd, flair] = ["T1c_subtrMeanDivStd", "Flair_subtrMeanDivStd"].map(file);
        writeln!(rows, "{patient},{},{},{t1gd},{flair}", number % 2, file(mask)).unwrap();
    }
    fs::write(site.join("manifest.csv"), rows).unwrap();
    check(Layout::Manifest, &[site.to_owned()], &CheckOptions::new(5, 0.3).unwrap(), &|_| {})
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.kind.code()).collect()
}

#[test]
fn real_scans_are_usable_and_only_their_number_and_background_are_at_fault() {
    let Some(images) = shared() else { return };
    let site = tempfile::tempdir().unwrap();
    let report = checked(&images, site.path(), "OTMultiClass");
    // The publishers subtracted the mean everywhere: the background is not 0. The check must say so of each
    // image. And of three cases the hold-out has one, of one class.
    let expected = ["too-few-cases"; 2].into_iter().chain(["not-stripped"; 6]).chain(["holdout-lacks-class"]);
    assert_eq!(kinds(&report), expected.collect::<Vec<_>>());
    assert_eq!(report.inventory.usable.total(), 3);
    assert!(report.cases.iter().all(|case| case.usable.len() == 2));
    assert_eq!(
        report.inventory.grids.iter().map(|grid| (grid.shape, grid.files)).collect::<Vec<_>>(),
        [([155, 240, 240], 9)]
    );

    let page = site.path().join("page.html");
    write_page(&report, &page, &|_| {}).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("data:image/png;base64,").count(), 9);
    assert!(html.len() < 600_000, "{} bytes", html.len());
}

#[test]
fn a_brain_mask_in_place_of_the_tumours_is_seen() {
    let Some(images) = shared() else { return };
    let site = tempfile::tempdir().unwrap();
    let report = checked(&images, site.path(), "brainmask");
    let found = kinds(&report).into_iter().filter(|kind| kind.contains("mask"));
    assert_eq!(found.collect::<Vec<_>>(), ["mask-too-large"; 3]);
}
