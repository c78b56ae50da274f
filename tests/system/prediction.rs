//! From a finished study to a probability for a scan: exported, verified, and asked as a clinician scientist would.
//!
//! The sites kept what each chosen model said of their hold-out. The package's models must say the same of the same
//! scans, found by their file names alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consilium_client::{Predictor, validate, write_inputs};
use consilium_coordinator::model_export::{ModelExport, export};
use consilium_coordinator::weights::WeightsStore;
use consilium_data::{Cohort, Layout, Subject};
use consilium_domain::{Arm, Fold, Label, Modality};
use consilium_model::{ComputeDevice, Routes};
use consilium_package::{Package, verify_folder};
use serde_json::Value;

use crate::folder;
use crate::process::Process;
use crate::stand_in::backbone;

const OPTIONS: &str = "--arms spottune --modalities t1gd,flair --sites 2 --cases 14 --folds 2 --rounds 1 \
                       --local-epochs 1 --seed 9";

/// Scores differ by the rounding of batches of other sizes.
const TOLERANCE: f64 = 1e-5;

fn packaged(run: &Path, out: PathBuf) -> PathBuf {
    let order = ModelExport {
        state_dir: run.join("coordinator"),
        arm: Arm::Spottune,
        identity_dir: run.join("identities/coordinator"),
        out: out.clone(),
        date: None,
        weights_store: WeightsStore::new(&out.with_extension("store")),
    };
    tokio::runtime::Runtime::new().unwrap().block_on(export(&order)).unwrap();
    out
}

/// What a site's models said of its hold-out: by patient, modality and fold.
fn kept(run: &Path) -> BTreeMap<(String, Modality, Fold), f64> {
    let mut kept = BTreeMap::new();
    let files = ["site-1", "site-2"].map(|site| folder::files(&run.join(site).join("state/predictions")));
    for (path, bytes) in files.into_iter().flatten() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(lane) = name.strip_prefix("spottune-").and_then(|rest| rest.strip_suffix("-holdout.json"))
        else {
            continue;
        };
        let mut parts = lane.split('-');
        let modality: Modality = parts.next().unwrap().parse().unwrap();
        let fold = Fold(parts.next().unwrap().parse().unwrap());
        let scores: BTreeMap<String, Value> = serde_json::from_slice(&bytes).unwrap();
        for (patient, score) in scores {
            kept.insert((patient, modality, fold), score["probability"].as_f64().unwrap());
        }
    }
    kept
}

#[test]
fn a_packages_models_say_of_a_scan_what_they_said_in_the_study() {
    let dir = tempfile::tempdir().unwrap();
    let (run, weights) = (dir.path().join("run"), backbone(dir.path()));
    let mut options: Vec<&str> = OPTIONS.split_whitespace().collect();
    options.extend(["--weights", weights.to_str().unwrap()]);
    Process::simulate(&run, &options).end().successfully();

    let package = packaged(&run, dir.path().join("package"));
    let ca = fs::read_to_string(run.join("identities/site-1/ca.pem")).unwrap();
    verify_folder(&package, &ca).unwrap();

    let predictor =
        Predictor::new(Package::open(&package).unwrap(), ComputeDevice::cpu(), Routes::Preferred).unwrap();
    let kept = kept(&run);
    let patients: Vec<&String> = kept.keys().map(|(patient, ..)| patient).collect();
    assert!(patients.len() >= 2 * 2 * 4, "{} scores", patients.len());
    let mut compared = 0;
    for site in ["site-1", "site-2"] {
        let scans = Subject::all_in(&run.join("phantoms").join(site), None).unwrap();
        assert!(scans.left_out.is_empty());
        let answers = predictor.predict(&scans.found).unwrap();
        for (scan, answer) in scans.found.iter().zip(&answers) {
            let answer = answer.as_ref().unwrap();
            let patient = scan.name.reveal().trim_end_matches("_11");
            for modality in &answer.modalities {
                assert_eq!(modality.folds.len(), 2);
                for fold in &modality.folds {
                    assert!(!fold.tuned.is_empty(), "spottune routes");
                    let Some(said) = kept.get(&(patient.to_owned(), modality.modality, fold.fold)) else {
                        continue;
                    };
                    assert!(
                        (f64::from(fold.probability) - said).abs() < TOLERANCE,
                        "{} {said}",
                        fold.probability
                    );
                    compared += 1;
                }
            }
            let struct_figures = answer.figures.as_ref().unwrap();
            assert_eq!(struct_figures.group, "struct");
            assert!(answer.to_string().contains("not for diagnosis"));
        }
    }
    assert_eq!(compared, kept.len(), "every score of the study was compared");
    validated(&predictor, &run);
    pytorch_agrees(&package, &run.join("phantoms/site-1"), dir.path());
}

/// A hospital with labels sees figures of all its patients.
fn validated(predictor: &Predictor, run: &Path) {
    let cohort = Cohort::open(Layout::UpennGbm, &[run.join("phantoms/site-1")]).unwrap();
    let found = validate(predictor, &cohort).unwrap();
    let methylated = cohort.cases.iter().filter(|case| case.label == Label::Methylated).count() as u32;
    assert_eq!(found.patients, [methylated, cohort.cases.len() as u32 - methylated]);
    assert!(found.not_predicted.is_empty() && found.figures.chance.is_some() && found.sensitivity.is_some());
    let text = found.to_string();
    assert!(text.contains("AUC") && text.contains("In the study the AUC was"), "{text}");
}

/// PyTorch says the same of the same inputs, where Python has it (`CONSILIUM_PYTHON` names the interpreter).
fn pytorch_agrees(package: &Path, scans: &Path, scratch: &Path) {
    let python = std::env::var("CONSILIUM_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_torch = Command::new(&python).args(["-c", "import torch"]).output();
    if !has_torch.is_ok_and(|output| output.status.success()) {
        println!("skipped: no Python with PyTorch (CONSILIUM_PYTHON names one)");
        return;
    }
    let predictor =
        Predictor::new(Package::open(package).unwrap(), ComputeDevice::cpu(), Routes::Preferred).unwrap();
    let scan = Subject::all_in(scans, None).unwrap().found.swap_remove(0);
    let (inputs, forecast) = (scratch.join("inputs.safetensors"), scratch.join("forecast.json"));
    write_inputs(&inputs, &predictor.inputs(&scan).unwrap()).unwrap();
    let answer = predictor.predict(&[scan]).unwrap().swap_remove(0).unwrap();
    let compare = |answer: &Value| {
        fs::write(&forecast, serde_json::to_vec(answer).unwrap()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/pytorch/compare_prediction.py");
        let mut command = Command::new(&python);
        command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1").arg("--package").arg(package);
        command.arg("--inputs").arg(&inputs).arg("--forecast").arg(&forecast).output().unwrap()
    };
    let mut answer = serde_json::to_value(&answer).unwrap();
    let agrees = compare(&answer);
    assert!(agrees.status.success(), "{}", String::from_utf8_lossy(&agrees.stderr));
    let said = answer.pointer_mut("/modalities/1/folds/0/probability").unwrap();
    *said = (said.as_f64().unwrap() + 2e-4).into();
    assert_eq!(compare(&answer).status.code(), Some(1), "a difference is noticed");
}
