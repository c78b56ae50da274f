//! The commands `weights import`, `list`, `show` and `export` as a person runs them, on a whole ResNet-10.

#[path = "../../shared/weights/tests/checkpoints/writer/mod.rs"]
#[allow(dead_code, reason = "the tests of the importer use all of it")]
mod writer;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use consilium_coordinator::weights::Record;
use consilium_domain::Digest;
use consilium_domain::network::{Depth, NetworkSpec};
use consilium_weights::Weights;
use writer::formula;

const RESNET10: NetworkSpec = NetworkSpec { depth: Depth::D10, width: 64 };

fn weights(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consilium-coordinator"));
    command.arg("weights").args(arguments).current_dir(folder).output().unwrap()
}

fn told(folder: &Path, arguments: &[&str]) -> String {
    let output = weights(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = weights(folder, arguments);
    assert!(!output.status.success(), "{arguments:?} should be refused");
    String::from_utf8(output.stderr).unwrap()
}

fn record(json: &str) -> Record {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_checkpoint_becomes_named_weights_and_leaves_the_store_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut model = formula::model(RESNET10);
    fs::write(folder.join("legacy.pth"), model.legacy()).unwrap();
    model.push_floats("conv_seg.0.weight", &[1], &[0.5]);
    fs::write(folder.join("zip.pth"), model.zipped(true)).unwrap();

    let text =
        told(folder, &["import", "legacy.pth", "--depth", "10", "--name", "formula", "--licence", "none"]);
    for part in [
        "name      formula",
        "ResNet-10",
        "legacy container",
        "not one of the published",
        "left out: 12 batch",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let again = record(&told(folder, &["import", "zip.pth", "--depth", "10", "--json"]));
    assert_eq!(
        (again.name.as_str(), again.licence.as_deref(), again.sources.len()),
        ("formula", Some("none"), 2)
    );
    assert_eq!(again.sources[1].head_left_out, ["conv_seg.0.weight"]);
    assert_eq!((again.network, again.tensors, again.values), (RESNET10, 60, 14_361_280));

    let list = told(folder, &["list"]);
    assert!(
        list.lines().count() == 2 && list.contains("formula") && list.contains(&again.digest.short()),
        "{list}"
    );
    let listed: Vec<Record> = serde_json::from_str(&told(folder, &["list", "--json"])).unwrap();
    assert_eq!(listed, std::slice::from_ref(&again));
    assert_eq!(record(&told(folder, &["show", &again.digest.short(), "--json"])), again);
    assert!(told(folder, &["show", "formula"]).contains("it has this digest"));

    told(folder, &["export", "formula", "--out", "exported"]);
    let file = fs::read(folder.join("exported/formula.safetensors")).unwrap();
    assert_eq!(Digest::of(&file), again.digest);
    assert_eq!(record(&fs::read_to_string(folder.join("exported/formula.json")).unwrap()), again);
    let manifest: Arc<[_]> = RESNET10.backbone_tensors().into();
    let weights = Weights::from_safetensors(&file, manifest).unwrap();
    for ((tensor, t), (_, values)) in formula::indexed(RESNET10).zip(weights.iter()) {
        assert!(values == formula::values(&tensor, t), "{}", tensor.name);
    }
}

#[test]
fn what_is_refused_says_what_to_do_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::write(folder.join("page.pth"), "<html>").unwrap();
    let small = NetworkSpec { width: 1, ..RESNET10 };
    fs::write(folder.join("narrow.pth"), formula::model(small).legacy()).unwrap();
    for (arguments, words) in [
        (&["import", "absent.pth", "--depth", "10"][..], "absent.pth"),
        (&["import", ".", "--depth", "10"], "name the .pth file itself"),
        (&["import", "page.pth", "--depth", "10"], "a page of HTML or XML"),
        (&["import", "page.pth", "--depth", "11"], "none of 10, 18, 34, 50, 101, 152, 200"),
        (&["import", "narrow.pth", "--depth", "10"], "bn1.weight is float32 [1], not float32 [64]"),
        (&["import", "narrow.pth", "--depth", "50"], "layer4.2.conv3.weight"),
        (&["import", "narrow.pth", "--depth", "10", "--out", "a", "--store", "b"], "cannot be used with"),
        (&["show", "absent"], "weights import"),
        (&["export", "absent", "--out", "out"], "weights list"),
    ] {
        let error = refused(folder, arguments);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "only the two files");
    assert!(told(folder, &["list"]).contains("no weights in weights"));
    assert_eq!(told(folder, &["list", "--json"]).trim(), "[]");
}

#[test]
fn an_import_to_a_folder_writes_two_plain_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::write(folder.join("a.pth"), formula::model(RESNET10).zipped(false)).unwrap();
    let record = record(&told(folder, &["import", "a.pth", "--depth", "10", "--out", "out", "--json"]));
    assert_eq!(record.name, format!("resnet_10-{}", record.digest.short()));
    assert_eq!(record.licence, None);
    let file = fs::read(folder.join(format!("out/{}.safetensors", record.name))).unwrap();
    assert_eq!(Digest::of(&file), record.digest);
    assert!(!folder.join("weights").exists(), "the store is not touched");
    let error = refused(folder, &["import", "a.pth", "--depth", "10", "--out", "out"]);
    assert!(error.contains("move it away first"), "{error}");
}
