//! Bad input: a word on what is wrong and how to mend it, an exit code, and not a byte written.

use std::fs;
use std::path::Path;

use consilium_simulator::SimulationReport;

use crate::folder;
use crate::process::{Ended, Process};

/// Enough of a study for what these tests refuse.
const TINY: &str =
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1";

fn simulate(out: &Path, options: &str) -> Ended {
    Process::simulate(out, &options.split_whitespace().collect::<Vec<_>>()).end()
}

/// `options` are refused with `words`, before the folder of the run is even made.
fn refused(options: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let Ended { code, stdout, stderr } = simulate(&out, options);
    assert!(matches!(code, Some(1 | 2)), "{options}: {code:?}\n{stdout}\n{stderr}");
    assert!(stderr.starts_with("error: "), "{options}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{options}: `{word}` is missing from\n{stderr}");
    }
    assert_eq!(stdout, "", "{options}");
    assert!(!out.exists(), "{options}: {:?}", folder::files(&out).keys());
}

#[test]
fn options_that_are_no_study_are_refused() {
    refused("--folds 1", &["evaluation.folds", "must be 2 to 20"]);
    refused("--folds 1 --rounds 0", &["2 problem(s)", "evaluation.folds", "training.rounds"]);
    refused("--arms blue", &["`blue` is not an arm", "spottune, medicalnet or random"]);
    refused("--arms random,random", &["arms", "none twice"]);
    refused("--modalities t3", &["`t3` is not a modality", "flair"]);
    refused("--cases 1", &["--cases"]);
    refused("--seed 9223372036854775808", &["--seed must be at most"]);
    refused("--device abacus", &["abacus"]);
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.safetensors");
    let other = folder.path().join("other.safetensors");
    // A sound file of another network: an eight-byte length, a header, one value.
    let header = r#"{"conv9.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    fs::write(&other, [&length[..], header.as_bytes(), &[0; 4]].concat()).unwrap();
    let garbage = folder.path().join("garbage.pth");
    fs::write(&garbage, [0x80; 200]).unwrap();
    for (path, words) in [
        (&absent, &["absent.safetensors is no file"][..]),
        (&other, &["other.safetensors does not fit", "missing [", "unexpected [conv9.weight]"]),
        (&garbage, &["garbage.pth is a PyTorch checkpoint", "weights import"]),
    ] {
        refused(&format!("--arms spottune --weights {}", path.display()), words);
    }
    // No stand-in for a network of that size: said before hundreds of full-size phantoms are written.
    refused("--preset paper --arms medicalnet", &["needs real MedicalNet weights", "--weights FILE"]);
}

#[test]
fn folders_that_are_not_in_the_layout_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, tableless) = (folder.path().join("empty"), folder.path().join("tableless"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir_all(tableless.join("NIfTI-files/images_structural")).unwrap();
    let sound = folder.path().join("sound");
    fs::create_dir_all(sound.join("NIfTI-files/images_structural")).unwrap();
    fs::write(sound.join("clinical_info.csv"), "ID,MGMT\n").unwrap();
    let [empty, tableless, sound] = [empty, tableless, sound].map(|path| path.to_str().unwrap().to_owned());

    let layout = ["no NIfTI-files/images_structural folder", "upenn-gbm"];
    refused(&format!("--arms random --site-data {sound} --site-data {empty}"), &layout);
    refused(&format!("--arms random --site-data {tableless}"), &["no *clinical_info*.csv"]);
    refused(&format!("--arms random --site-data {empty}/absent"), &["--site-data", "is not a folder"]);
    refused(&format!("--site-data {sound} --sites 2"), &["cannot be used with"]);
    refused(&format!("--site-data {sound} --layout shoebox"), &["`shoebox` is not a layout: use upenn-gbm"]);
}

#[test]
fn a_folder_that_holds_a_run_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    simulate(folder.path(), TINY).successfully();
    let before = folder::files(folder.path());
    let Ended { code, stdout, stderr } = simulate(folder.path(), TINY);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("holds a run already: name another folder with --out"), "{stderr}");
    assert!(before == folder::files(folder.path()), "the run that was there was changed");
}

#[test]
fn a_study_without_enough_cases_is_halted_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    // Three patients a site: after hold-out and folds, no site has two to train on.
    let ended = simulate(folder.path(), &TINY.replace("--cases 12", "--cases 3"));
    assert_eq!(ended.code, Some(3), "{}\n{}", ended.stdout, ended.stderr);
    let reason = "site(s) enlisted with at least 2 training cases, the quorum is 2";
    let halted = ended.stdout.lines().find(|line| line.starts_with("HALTED: ")).unwrap();
    assert!(halted.contains(reason), "{halted}");
    let text = fs::read_to_string(folder.path().join("report.json")).unwrap();
    let outcome = serde_json::from_str::<SimulationReport>(&text).unwrap().federated.outcome;
    assert_eq!(outcome.status, "halted");
    assert!(outcome.reason.unwrap().contains(reason));
}
