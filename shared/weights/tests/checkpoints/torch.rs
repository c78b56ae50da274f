//! Files that PyTorch writes here and now, where Python has it: `CONSILIUM_PYTHON` names the interpreter.

use std::path::Path;
use std::process::Command;

use consilium_weights::checkpoint::{Checkpoint, Container, import};

use crate::SMALL;
use crate::writer::formula;

/// Builds the state dictionary from names, shapes and values of a plain file, and saves it in every way.
const SCRIPT: &str = r#"
import sys, collections, torch
folder = sys.argv[1]
state = collections.OrderedDict()
raw = open(folder + "/values", "rb").read()
at = 0
for line in open(folder + "/names"):
    name, dtype, *shape = line.split()
    dtype = getattr(torch, dtype)
    shape = [int(extent) for extent in shape]
    count = 1
    for extent in shape: count *= extent
    size = count * dtype.itemsize
    state["module." + name] = torch.frombuffer(bytearray(raw[at:at + size]), dtype=dtype).reshape(shape)
    at += size
legacy = dict(_use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "state_dict": state}, folder + "/legacy.pth", **legacy)
torch.save({"epoch": 3, "state_dict": state}, folder + "/zip.pth")
flat = torch.cat([v.reshape(-1) for v in state.values() if v.dtype == torch.float32])
at = 0
for name, value in state.items():
    if value.dtype == torch.float32:
        state[name] = flat[at:at + value.numel()].view(value.shape)
        at += value.numel()
torch.save(state, folder + "/flat-legacy.pth", **legacy)
torch.save(state, folder + "/flat-zip.pth")
layer = torch.nn.BatchNorm1d(2)
optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
layer(torch.ones(3, 2)).sum().backward(); optimiser.step()
training = {"epoch": 1, "loss": 0.5, "state_dict": layer.state_dict(), "optimizer": optimiser.state_dict()}
torch.save(training, folder + "/training.pth")
torch.save(dict(layer.named_parameters()), folder + "/parameters.pth")
torch.save(layer, folder + "/module.pth", **legacy)
"#;

/// The interpreter, where it has PyTorch.
fn python() -> Option<String> {
    let python = std::env::var("CONSILIUM_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_torch = Command::new(&python).args(["-c", "import torch"]).output();
    has_torch.is_ok_and(|output| output.status.success()).then_some(python)
}

fn write_all(python: &str, folder: &Path) {
    let model = formula::model(SMALL);
    let mut names = String::new();
    let mut values = Vec::new();
    for tensor in &model.tensors {
        let storage = &model.storages[tensor.storage];
        let dtype = if storage.class == "LongStorage" { "int64" } else { "float32" };
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        names += &format!("{} {dtype} {}\n", tensor.name, shape.join(" "));
        values.extend(&storage.bytes);
    }
    std::fs::write(folder.join("names"), names).unwrap();
    std::fs::write(folder.join("values"), values).unwrap();
    let output = Command::new(python).args(["-c", SCRIPT]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_pytorch_writes_is_imported_exactly() {
    let Some(python) = python() else {
        println!("skipped: no Python with PyTorch (CONSILIUM_PYTHON names one)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    write_all(&python, folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let expected = import(&formula::model(SMALL).legacy(), SMALL).unwrap().weights;
    for (name, container) in [
        ("legacy.pth", Container::Legacy),
        ("zip.pth", Container::Zip),
        ("flat-legacy.pth", Container::Legacy),
        ("flat-zip.pth", Container::Zip),
    ] {
        let imported = import(&read(name), SMALL).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (imported.container, imported.had_prefix, imported.counters),
            (container, true, 12),
            "{name}"
        );
        assert!(imported.weights == expected, "{name}");
    }
    let training = read("training.pth");
    let training = Checkpoint::read(&training).unwrap();
    assert_eq!(training.beside(), ["epoch", "loss", "optimizer"]);
    assert_eq!(training.floats("weight").unwrap().unwrap().len(), 2);
    let parameters = read("parameters.pth");
    assert_eq!(Checkpoint::read(&parameters).unwrap().tensors().count(), 2);
    let whole = read("module.pth");
    let refused = Checkpoint::read(&whole).err().expect("a whole model is a program").to_string();
    assert!(refused.contains("torch.nn"), "{refused}");
}
