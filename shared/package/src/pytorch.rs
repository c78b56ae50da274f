//! A package is of use without this project's programs: `benches/pytorch/package.py` reads one, where Python has
//! PyTorch (`CONSILIUM_PYTHON` names the interpreter). That its answers are those of our own network is tested where
//! the network is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use consilium_domain::network::{StemMode, TensorKind, TensorSpec, Transfer};
use consilium_domain::{Arm, Study};
use consilium_weights::Weights;
use serde_json::Value;

use crate::sample;

const CASES: usize = 3;

/// The interpreter, where it has PyTorch.
fn python() -> Option<String> {
    let python = std::env::var("CONSILIUM_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_torch = Command::new(&python).args(["-c", "import torch"]).output();
    has_torch.is_ok_and(|output| output.status.success()).then_some(python)
}

fn write_inputs(path: &Path, side: usize) {
    let shape = vec![CASES, side, side, side];
    let spec = TensorSpec { name: "inputs".into(), shape, kind: TensorKind::LinearBias };
    let values = (0..spec.values()).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let inputs = Weights::new(Arc::new([spec]), values).unwrap();
    fs::write(path, inputs.to_safetensors()).unwrap();
}

fn predict(python: &str, folder: &Path, inputs: &Path, modality: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/pytorch/package.py");
    Command::new(python)
        .arg(script)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["--modality", modality, "--package"])
        .arg(folder)
        .arg("--inputs")
        .arg(inputs)
        .output()
        .unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn pytorch_reads_what_was_written_and_refuses_what_was_altered() {
    let Some(python) = python() else {
        println!("skipped: no Python with PyTorch (CONSILIUM_PYTHON names one)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (folder, inputs) = (dir.path().join("model"), dir.path().join("inputs.safetensors"));
    write_inputs(&inputs, 16);
    for (arm, transfer, stem) in [
        (Arm::Spottune, Transfer::All, StemMode::Frozen),
        (Arm::Spottune, Transfer::All, StemMode::Tuned),
        (Arm::Medicalnet, Transfer::All, StemMode::Tuned),
        (Arm::Medicalnet, Transfer::Layer4, StemMode::Frozen),
        (Arm::Random, Transfer::All, StemMode::Frozen),
    ] {
        let mut study = Study { arms: vec![arm], ..sample::study() };
        (study.training.transfer, study.training.stem) = (transfer, stem);
        let writer = sample::filled_of(&study, &folder, arm).unwrap();
        writer.finish(sample::facts(), &sample::signing(sample::kit())).unwrap();
        let output = predict(&python, &folder, &inputs, "flair");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&answer["arm"], &answer["threshold"]), (&arm.name().into(), &0.5.into()));
        let folds: Vec<[Vec<f64>; 2]> = answer["folds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fold| [numbers(&fold["logits"]), numbers(&fold["probabilities"])])
            .collect();
        assert_eq!((folds.len(), folds[0][0].len()), (2, CASES));
        assert_ne!(folds[0], folds[1], "each fold has its own model");
        for (case, mean) in numbers(&answer["probability"]).into_iter().enumerate() {
            let of_logits = folds.iter().map(|[logits, _]| 1.0 / (1.0 + (-logits[case]).exp()));
            assert!((mean - of_logits.sum::<f64>() / 2.0).abs() < 1e-6, "{arm}, case {case}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
    refuses_what_was_altered(&python, &folder, &inputs);
}

fn refuses_what_was_altered(python: &str, folder: &Path, inputs: &Path) {
    let refusal = |modality: &str| {
        let output = predict(python, folder, inputs, modality);
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    sample::write(folder);
    assert!(refusal("t2").contains("no model of t2"));
    write_inputs(inputs, 15);
    assert!(refusal("t1gd").contains("expected [cases, 16, 16, 16]"));
    write_inputs(inputs, 16);
    let model = folder.join("models/flair-fold1.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model, &bytes).unwrap();
    assert!(refusal("t1gd").contains("was altered"));
    bytes.pop();
    fs::write(&model, &bytes).unwrap();
    assert!(refusal("t1gd").contains("does not have"));
    fs::rename(&model, folder.join("models/other")).unwrap();
    let text = refusal("t1gd");
    assert!(
        text.contains("missing ['models/flair-fold1.safetensors'], unexpected ['models/other']"),
        "{text}"
    );
}
