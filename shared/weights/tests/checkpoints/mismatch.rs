//! Sound checkpoints of other networks: refused with every name, and with the depth that fits.

use consilium_domain::network::{Depth, NetworkSpec};
use consilium_weights::checkpoint::{ImportError, KeyMismatch, import};

use crate::SMALL;
use crate::writer::{Model, formula};

fn mismatch(model: &Model, network: NetworkSpec) -> KeyMismatch {
    match import(&model.legacy(), network) {
        Err(ImportError::Keys(mismatch)) => *mismatch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_depth_is_named() {
    for depth in Depth::ALL {
        for asked in [Depth::D10, Depth::D34, Depth::D50] {
            let model = formula::model(NetworkSpec { depth, ..SMALL });
            let asked = NetworkSpec { depth: asked, ..SMALL };
            if asked.depth == depth {
                assert!(import(&model.legacy(), asked).is_ok());
            } else {
                let mismatch = mismatch(&model, asked);
                assert_eq!(mismatch.fits, Some(depth));
                assert!(mismatch.to_string().contains(&format!("pass --depth {}", depth.layers())));
                assert!(mismatch.missing.is_sorted() && mismatch.unexpected.is_sorted());
            }
        }
    }
}

#[test]
fn every_missing_unexpected_and_different_tensor_is_listed() {
    let full = formula::model(SMALL);
    let mut model = Model { tensors: Vec::new(), storages: Vec::new(), ..full.clone() };
    for tensor in full.tensors.iter().filter(|tensor| !tensor.name.starts_with("layer3.0.bn")) {
        let storage = full.storages[tensor.storage].clone();
        let (name, class) = (tensor.name.as_str(), storage.class);
        match name {
            "bn1.bias" => model.push(name, &[1], "DoubleStorage", 1, vec![0; 8]),
            "bn1.weight" => model.push(name, &[1], "HalfStorage", 1, vec![0; 2]),
            "conv1.weight" => model.push_floats(name, &[7, 7, 7], &[0.0; 343]),
            _ => model.push(name, &tensor.shape, class, storage.values, storage.bytes),
        }
    }
    model.push_floats("fc.weight", &[1], &[1.0]);
    let mismatch = mismatch(&model, SMALL);
    assert_eq!(mismatch.missing.len(), 10, "two norms with their counters");
    assert!(mismatch.missing.contains(&"layer3.0.bn2.num_batches_tracked".to_owned()));
    assert_eq!(mismatch.unexpected, ["fc.weight"]);
    assert_eq!(mismatch.fits, None);
    let text = mismatch.to_string();
    for line in [
        "missing (10):\n  layer3.0.bn1.bias",
        "unexpected (1):\n  fc.weight",
        "different (3):\n  bn1.bias is float64 [1], not float32 [1]\n  bn1.weight is float16 [1], not float32 [1]",
        "conv1.weight is float32 [7, 7, 7], not float32 [1, 1, 7, 7, 7]",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn half_precision_says_what_to_do() {
    let mut model = formula::model(SMALL);
    for storage in model.storages.iter_mut().filter(|storage| storage.class == "FloatStorage") {
        (storage.class, storage.bytes) = ("HalfStorage", vec![0; 2 * storage.values as usize]);
    }
    let mismatch = mismatch(&model, SMALL);
    assert_eq!(mismatch.fits, Some(Depth::D10));
    assert!(mismatch.to_string().contains("save it in float32"), "{mismatch}");
}

#[test]
fn shortcuts_of_the_other_type_are_told_apart() {
    let network = NetworkSpec { depth: Depth::D18, ..SMALL };
    let mut model = formula::model(network);
    model.push_floats("layer2.0.downsample.0.weight", &[2, 1, 1, 1, 1], &[0.0; 2]);
    assert!(mismatch(&model, network).to_string().contains("type B"));
}

#[test]
fn values_that_are_not_finite_are_refused_by_name() {
    let mut model = formula::model(SMALL);
    model.storages[0].bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let refused = import(&model.legacy(), SMALL).unwrap_err();
    assert!(
        matches!(refused, ImportError::Values(_)) && refused.to_string().contains("conv1.weight"),
        "{refused}"
    );
}
