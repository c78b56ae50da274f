//! A pretrained backbone for the tests that need one: the stand-in that a simulation makes when none is given.
//!
//! Making it takes ten seconds, so it is made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use consilium_domain::Digest;
use consilium_simulator::{PretrainedWeights, SimulationReport};

use crate::process::Process;

/// What the simulation that made the backbone left.
struct Made {
    weights: Vec<u8>,
    stdout: String,
    report: SimulationReport,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let out = tempfile::tempdir().unwrap();
        let options =
            "--arms spottune --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1";
        let options: Vec<&str> = options.split_whitespace().collect();
        let stdout = Process::simulate(out.path(), &options).end().successfully().stdout;
        let report = fs::read_to_string(out.path().join("report.json")).unwrap();
        Made {
            weights: fs::read(out.path().join("stand-in-backbone.safetensors")).unwrap(),
            stdout,
            report: serde_json::from_str(&report).unwrap(),
        }
    })
}

/// Writes the backbone to `folder`; the path of the file.
pub(crate) fn backbone(folder: &Path) -> PathBuf {
    let path = folder.join("backbone.safetensors");
    fs::write(&path, &made().weights).unwrap();
    path
}

#[test]
fn nobody_can_take_the_stand_in_for_medicalnet() {
    let Made { weights, stdout, report } = made();
    assert_eq!(report.simulation.weights, PretrainedWeights::StandIn);
    assert_eq!(report.federated.base_model, Some(Digest::of(weights)));
    for words in ["no MedicalNet file was given", "says nothing about MedicalNet", "not from MedicalNet"] {
        assert!(stdout.contains(words), "`{words}` is missing from\n{stdout}");
    }
}
