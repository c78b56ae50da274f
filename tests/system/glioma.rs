//! Three real glioma patients, from the files of BraTS 2013 to a report.
//!
//! The images are read where they lie, beside the repository; nothing of them is copied into it. Three patients are
//! not enough for folds and a hold-out, so each site has each of them twice, under two names. What comes out says
//! nothing about glioma: it shows that real files go through, and that the names of patients stay at their site.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use consilium_coordinator::EventLog;
use consilium_domain::{ClassCounts, Modality};
use consilium_simulator::SimulationReport;

use crate::folder;
use crate::process::Process;

const OPTIONS: &str =
    "--arms random --modalities t1gd,flair --folds 2 --rounds 1 --local-epochs 1 --keep-duplicates";

/// The data set's folders.
const PATIENTS: [&str; 3] = ["brats_2013_pat0001_1", "brats_2013_pat0002_1", "brats_2013_pat0003_1"];

/// The data set's files: where each goes in the layout of UPENN-GBM, and under what name.
const FILES: [(&str, &str, &str); 3] = [
    ("T1c_subtrMeanDivStd.nii.gz", "images_structural/ID", "ID_T1GD.nii.gz"),
    ("Flair_subtrMeanDivStd.nii.gz", "images_structural/ID", "ID_FLAIR.nii.gz"),
    ("OTMultiClass.nii.gz", "images_segm", "ID_segm.nii.gz"),
];

/// The folder of the three patients, where it was put beside the repository.
fn images() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/brats2013_cc_by_nc_sa");
    folder.is_dir().then(|| folder.canonicalize().unwrap())
}

/// Lays out site `number` below `folder`; the names of its cases. Patients are methylated under their first name.
fn lay_out(images: &Path, folder: &Path, number: usize) -> Vec<String> {
    let mut table = "ID,MGMT,Age_at_scan_years,Gender\n".to_owned();
    let mut names = Vec::new();
    for (index, patient) in PATIENTS.iter().cycle().take(2 * PATIENTS.len()).enumerate() {
        let id = format!("UPENN-GBM-{number}77{index}_11");
        let label = if index < PATIENTS.len() { "Methylated" } else { "Unmethylated" };
        let sex = if index % 2 == 0 { "F" } else { "M" };
        table += &format!("{id},{label},{}.5,{sex}\n", 50 + 3 * index);
        for (file, place, name) in FILES {
            let place = folder.join("NIfTI-files").join(place.replace("ID", &id));
            fs::create_dir_all(&place).unwrap();
            symlink(images.join(patient).join(file), place.join(name.replace("ID", &id))).unwrap();
        }
        names.push(id);
    }
    fs::write(folder.join("UPENN-GBM_clinical_info_v2.1.csv"), table).unwrap();
    names
}

/// Everything the coordinator knows, in pieces: its log, every file of its state, and the report.
fn known_outside(out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut pieces = vec![
        ("report".to_owned(), fs::read(out.join("report.json")).unwrap()),
        ("log".to_owned(), fs::read(out.join("logs/coordinator.log")).unwrap()),
    ];
    let state = folder::files(&out.join("coordinator"));
    assert!(state.keys().any(|path| path.ends_with("events.sqlite")));
    pieces.extend(state.into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)));
    // A text may be cut by the pages of the database, so its events are read as well.
    let path = out.join("coordinator/events.sqlite");
    let (_, events) = tokio::runtime::Runtime::new().unwrap().block_on(EventLog::open(&path)).unwrap();
    assert!(events.len() > 10);
    pieces.push(("events".to_owned(), serde_json::to_vec(&events).unwrap()));
    pieces
}

#[test]
fn real_patients_go_through_a_study_and_their_names_stay_at_home() {
    let Some(images) = images() else {
        println!("skipped: ../shared is absent");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let sites = [1, 2].map(|number| folder.path().join(format!("hospital-{number}")));
    let mut names: Vec<String> =
        sites.iter().zip(1..).flat_map(|(site, number)| lay_out(&images, site, number)).collect();
    let out = folder.path().join("run");
    let mut options: Vec<&str> = OPTIONS.split_whitespace().collect();
    options.extend(sites.iter().flat_map(|site| ["--site-data", site.to_str().unwrap()]));
    let stdout = Process::simulate(&out, &options).end().successfully().stdout;

    let text = fs::read_to_string(out.join("report.json")).unwrap();
    let report: SimulationReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report.federated.outcome.status, "finished");
    assert!(report.federated.warnings.is_empty(), "{:?}", report.federated.warnings);
    assert_eq!(report.simulation.ideal_auc, None, "nobody knows what can be seen in real images");
    // Of three patients a class, 30 % are one; the other two go to a fold each.
    let one_each = ClassCounts { methylated: 1, unmethylated: 1 };
    for site in &report.federated.sites {
        let cohort = site.cohort.as_ref().unwrap();
        assert!(cohort.excluded.is_empty(), "{:?}", cohort.excluded);
        for modality in [Modality::T1gd, Modality::Flair] {
            let counts = cohort.counts(modality);
            assert_eq!((counts.holdout, counts.folds), (one_each, vec![one_each; 2]));
        }
    }
    let [arm] = &report.federated.arms[..] else { panic!("one arm") };
    assert_eq!(arm.lanes.len(), 4);
    for group in &arm.groups {
        let (holdout, validation) = (&group.holdout.pooled, &group.validation.pooled);
        assert_eq!((holdout.positives, holdout.negatives), (2, 2), "{}", group.group.name);
        assert_eq!((validation.positives, validation.negatives), (4, 4), "{}", group.group.name);
    }

    // The names of cases, of patients without the scan's number, and of the data set's own folders.
    let patients: Vec<String> = names.iter().map(|id| id.trim_end_matches("_11").to_owned()).collect();
    names.extend(patients);
    names.extend(PATIENTS.map(str::to_owned));
    for (what, bytes) in known_outside(&out) {
        for name in &names {
            assert!(!folder::holds(&bytes, name), "{what} names {name}");
        }
    }
    assert!(!names.iter().any(|name| stdout.contains(name)), "{stdout}");
    // The search finds names where there are some.
    let at_home = folder::files(&out.join("site-1"));
    assert!(at_home.values().any(|bytes| folder::holds(bytes, "UPENN-GBM-1770")));
}
