//! Small files that PyTorch itself wrote, in both containers, with the formula's values.

use std::path::Path;

use consilium_domain::network::{Depth, NetworkSpec};
use consilium_weights::checkpoint::{Checkpoint, Container, Element, ImportError, MEDICALNET_WIDTH, import};

use crate::writer::formula;

const RESNET10: NetworkSpec = NetworkSpec { depth: Depth::D10, width: MEDICALNET_WIDTH };

fn fixture(name: &str) -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = std::fs::read(root.join("../shared/data/medicalnet").join(name)).ok();
    if file.is_none() {
        println!("skipped: ../shared is absent");
    }
    file
}

#[test]
fn files_of_pytorch_are_read_exactly() {
    for (name, container) in
        [("fixture_legacy_format.pth", Container::Legacy), ("fixture_zip_format.pth", Container::Zip)]
    {
        let Some(file) = fixture(name) else { return };
        let checkpoint = Checkpoint::read(&file).unwrap();
        assert_eq!((checkpoint.container(), checkpoint.has_prefix()), (container, true));
        assert_eq!(checkpoint.tensors().count(), 6);
        for (tensor, t) in formula::indexed(RESNET10).take(5) {
            assert_eq!(checkpoint.floats(&tensor.name).unwrap().unwrap(), formula::values(&tensor, t));
        }
        let counter = checkpoint.tensor("bn1.num_batches_tracked").unwrap();
        assert_eq!((counter.shape(), checkpoint.storage(counter).element), (&[][..], Element::Int64));
        assert!(checkpoint.floats("bn1.num_batches_tracked").is_none(), "it is no float");
    }
}

#[test]
fn a_part_of_a_network_is_refused_with_everything_that_is_missing() {
    let Some(file) = fixture("fixture_legacy_format.pth") else { return };
    let Err(ImportError::Keys(mismatch)) = import(&file, RESNET10) else { panic!("it is no whole network") };
    assert_eq!((mismatch.missing.len(), mismatch.unexpected.len(), mismatch.wrong.len()), (66, 0, 0));
    assert!(mismatch.missing.is_sorted());
    let text = mismatch.to_string();
    assert!(mismatch.missing.iter().all(|name| text.contains(name)), "{text}");
}

/// The key lists are of the upstream network with its head.
#[test]
fn the_lists_of_upstream_keys_are_those_of_the_manifest() {
    for (name, depth) in [("keys_resnet10.txt", Depth::D10), ("keys_resnet50.txt", Depth::D50)] {
        let Some(list) = fixture(name) else { return };
        let list = String::from_utf8(list).unwrap();
        let backbone = list.lines().filter(|line| !line.contains("conv_seg"));
        let found: Vec<String> = backbone.map(str::to_owned).collect();
        let model = formula::model(NetworkSpec { depth, width: MEDICALNET_WIDTH });
        let expected: Vec<String> = model
            .tensors
            .iter()
            .map(|tensor| {
                let comma = if tensor.shape.len() == 1 { "," } else { "" };
                let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
                let element = if tensor.shape.is_empty() { "int64" } else { "float32" };
                format!("module.{}\t({}{comma})\t{element}", tensor.name, shape.join(", "))
            })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}
