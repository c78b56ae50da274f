//! Patients who are at two hospitals under two names: all of them are found, and nobody else is.
//!
//! Site 1 and 2 hold their scans as UPENN-GBM does, site 3 lists its own in a manifest. Site 2 also holds exports of
//! three of site 1's patients, with other names, axes and voxel values. Site 3 knows two of site 1's patients by name
//! and has other images of them.

use std::fs;
use std::path::{Path, PathBuf};

use consilium_data::phantom::{Grid, PhantomCohort};
use consilium_data::{Case, Cohort, Layout, Orientation, Volume};
use consilium_domain::{CohortSummary, Label, Modality, Seed};
use consilium_simulator::SimulationReport;

use crate::folder;
use crate::process::Process;

const MODALITY: Modality = Modality::T1gd;
const CASES: usize = 12;
const COPIED: usize = 3;
const KNOWN_BY_NAME: usize = 2;
/// Site 3's own patients. With those known by name it has fewer cases than the others, so its copies stay.
const LISTED: usize = 8;

/// The word of a cohort summary.
const DUPLICATE: &str = "duplicate of a case that takes part";

fn cases(folder: &Path) -> Vec<Case> {
    Cohort::open(Layout::UpennGbm, &[folder.to_owned()]).unwrap().cases
}

/// The same image as another program would write it: axes towards right, anterior and superior, other units.
fn export(from: &Path, to: &Path, scale: f32) {
    let volume = Volume::read(from).unwrap().in_orientation(Orientation::RAS).unwrap();
    let affine = volume.affine().unwrap();
    let values = volume.values().iter().map(|value| (value * scale).round()).collect();
    let exported = Volume::new(volume.shape(), volume.spacing(), values).unwrap().with_affine(affine);
    exported.write_int16(to).unwrap();
}

/// Writes exports of some of site 1's cases into site 2's folder, under new names.
fn plant_exports(from: &[Case], folder: &Path) {
    let table = folder.join("UPENN-GBM_clinical_info_v2.1.csv");
    let mut rows = fs::read_to_string(&table).unwrap();
    let images = folder.join("NIfTI-files");
    for (number, case) in from.iter().enumerate() {
        let id = format!("UPENN-GBM-9000{number}_11");
        let scans = images.join("images_structural").join(&id);
        fs::create_dir(&scans).unwrap();
        export(&case.images[&MODALITY], &scans.join(format!("{id}_T1GD.nii.gz")), 0.7);
        let mask = images.join("automated_segm").join(format!("{id}_automated_approx_segm.nii.gz"));
        export(&case.mask, &mask, 1.0);
        let label = if case.label == Label::Methylated { "Methylated" } else { "Unmethylated" };
        rows += &format!("{id},F,60,NA,NA,NA,NA,{label},NA,NA,NA,NA\n");
    }
    fs::write(table, rows).unwrap();
}

/// A manifest of `cases`, the first of which are known as `known`.
fn write_manifest(cases: &[Case], known: &[Case], folder: &Path) -> PathBuf {
    let mut rows = format!("patient,label,mask,{MODALITY},alias\n");
    for (number, case) in cases.iter().enumerate() {
        let alias = known.get(number).map_or("", |known| known.patient.reveal());
        let label = if case.label == Label::Methylated { "methylated" } else { "unmethylated" };
        let (mask, image) = (case.mask.display(), case.images[&MODALITY].display());
        rows += &format!("P-{number},{label},{mask},{image},{alias}\n");
    }
    fs::create_dir(folder).unwrap();
    let path = folder.join("manifest.csv");
    fs::write(&path, rows).unwrap();
    path
}

#[test]
fn planted_duplicates_are_all_found_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let phantoms = PhantomCohort {
        sites: 3,
        cases_per_site: CASES,
        signal: 1.0,
        seed: Seed::from_number(21),
        grid: Grid::Small,
        modalities: vec![MODALITY],
    };
    let sites = phantoms.write(folder.path()).unwrap().sites;
    let first = cases(&sites[0].folder);
    plant_exports(&first[..COPIED], &sites[1].folder);
    let known = &first[COPIED..COPIED + KNOWN_BY_NAME];
    let listed = &cases(&sites[2].folder)[..LISTED + KNOWN_BY_NAME];
    let manifest = write_manifest(listed, known, &folder.path().join("listed"));

    let out = folder.path().join("run");
    let mut options: Vec<&str> =
        "--arms random --modalities t1gd --folds 2 --rounds 1 --local-epochs 1".split_whitespace().collect();
    for (data, layout) in
        [(&sites[0].folder, "upenn-gbm"), (&sites[1].folder, "upenn-gbm"), (&manifest, "manifest")]
    {
        options.extend(["--site-data", data.to_str().unwrap(), "--layout", layout]);
    }
    Process::simulate(&out, &options).end().successfully();

    let text = fs::read_to_string(out.join("report.json")).unwrap();
    let report: SimulationReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report.federated.outcome.status, "finished");
    let told = |cohort: &CohortSummary| {
        let counts = cohort.counts(MODALITY);
        let patients = counts.folds.iter().map(|fold| fold.total()).sum::<u32>() + counts.holdout.total();
        (patients as usize, cohort.excluded.get(DUPLICATE).copied().unwrap_or_default() as usize)
    };
    let found: Vec<_> =
        report.federated.sites.iter().map(|site| told(site.cohort.as_ref().unwrap())).collect();
    // A copy stays where there are fewest cases: site 3 has ten, site 1 twelve and site 2 fifteen.
    let expected = [(CASES - KNOWN_BY_NAME, KNOWN_BY_NAME), (CASES, COPIED), (LISTED + KNOWN_BY_NAME, 0)];
    assert_eq!(found, expected);

    // Neither names nor the key by which they are hidden are outside.
    let key = fs::read_to_string(out.join("identities/site-1/fingerprint.key")).unwrap();
    assert!(!out.join("identities/coordinator/fingerprint.key").exists());
    let mut secrets: Vec<String> = first.iter().map(|case| case.patient.reveal().to_owned()).collect();
    secrets.push(key.trim().to_owned());
    for (path, bytes) in folder::files(&out.join("coordinator")) {
        for secret in &secrets {
            assert!(!folder::holds(&bytes, secret), "{} holds a secret", path.display());
        }
    }
}
