//! Files that are laid out in unusual ways and still hold exactly the network's weights.

use consilium_weights::checkpoint::{ImportError, import};

use crate::SMALL;
use crate::writer::{Model, Storage, contiguous, formula};

fn expected() -> Vec<f32> {
    import(&formula::model(SMALL).legacy(), SMALL).unwrap().weights.values().to_vec()
}

fn assert_same(model: &Model) {
    let expected = expected();
    for file in [model.legacy(), model.zipped(false), model.zipped(true)] {
        assert!(import(&file, SMALL).unwrap().weights.values() == expected);
    }
}

#[test]
fn the_order_of_tensors_and_storages_does_not_matter() {
    let mut model = formula::model(SMALL);
    model.tensors.reverse();
    model.tensors.swap(3, 40);
    assert_same(&model);
}

#[test]
fn prefix_wrapper_counters_and_parameters_may_be_there_or_not() {
    let model = Model { wrapped: false, prefixed: false, ..formula::model(SMALL) };
    assert_same(&model);
    let mut bare = model.clone();
    bare.tensors.retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
    bare.storages.retain(|storage| storage.class == "FloatStorage");
    for (place, tensor) in bare.tensors.iter_mut().enumerate() {
        tensor.storage = place;
        tensor.parameter = tensor.name.ends_with("weight");
    }
    assert_same(&bare);
    assert_eq!(import(&bare.legacy(), SMALL).unwrap().counters, 0);
}

#[test]
fn a_head_is_left_out_and_named() {
    let mut model = formula::model(SMALL);
    model.push_floats("conv_seg.0.weight", &[2, 1], &[f32::NAN, 1.0]);
    model.push_counter("conv_seg.1.num_batches_tracked");
    assert_same(&model);
    let imported = import(&model.legacy(), SMALL).unwrap();
    assert_eq!(imported.head, ["conv_seg.0.weight", "conv_seg.1.num_batches_tracked"]);
}

/// All floats in one block, as networks with flattened parameters save them.
#[test]
fn tensors_may_share_a_block() {
    let mut model = formula::model(SMALL);
    let mut block = Storage { key: "block".into(), class: "FloatStorage", values: 0, bytes: Vec::new() };
    let place = model.storages.len();
    for tensor in &mut model.tensors {
        let own = &mut model.storages[tensor.storage];
        if own.class == "FloatStorage" {
            (tensor.storage, tensor.offset) = (place, block.values);
            block.values += own.values;
            block.bytes.append(&mut own.bytes);
        }
    }
    model.storages.push(block);
    keep_used(&mut model);
    assert_same(&model);
}

#[test]
fn transposed_tensors_are_read_in_the_order_of_their_shape() {
    let mut model = formula::model(SMALL);
    for tensor in model.tensors.iter_mut().filter(|tensor| tensor.shape.len() == 5) {
        let shape: Vec<u64> = tensor.shape.iter().rev().copied().collect();
        let strides: Vec<u64> = contiguous(&shape).into_iter().rev().collect();
        let storage = &mut model.storages[tensor.storage];
        let words: Vec<[u8; 4]> = storage.bytes.as_chunks::<4>().0.to_vec();
        for (index, word) in words.into_iter().enumerate() {
            let mut rest = index as u64;
            let at: u64 = contiguous(&tensor.shape)
                .iter()
                .zip(&strides)
                .map(|(own, stride)| {
                    let place = rest / own;
                    rest %= own;
                    place * stride
                })
                .sum();
            storage.bytes[4 * at as usize..][..4].copy_from_slice(&word);
        }
        tensor.strides = strides;
    }
    assert_same(&model);
}

#[test]
fn tensors_that_share_values_are_refused() {
    let mut model = formula::model(SMALL);
    let names = ["bn1.weight", "bn1.bias"];
    let shared = model.tensors.iter().find(|tensor| tensor.name == names[0]).unwrap().storage;
    model.tensors.iter_mut().find(|tensor| tensor.name == names[1]).unwrap().storage = shared;
    keep_used(&mut model);
    let refused = import(&model.legacy(), SMALL).unwrap_err();
    assert!(matches!(refused, ImportError::Shared { .. }), "{refused}");
}

#[test]
fn a_block_far_larger_than_the_network_is_refused_before_it_is_unpacked() {
    let mut model = formula::model(SMALL);
    let count = expected().len() as u64;
    model.storages[0].values = 3 * count;
    model.storages[0].bytes.resize(12 * count as usize, 0);
    let refused = import(&model.zipped(true), SMALL).unwrap_err();
    assert!(matches!(refused, ImportError::StorageTooLarge { .. }), "{refused}");
}

/// Drops storages that no tensor uses, which PyTorch would not write.
fn keep_used(model: &mut Model) {
    let mut kept: Vec<Storage> = Vec::new();
    for tensor in &mut model.tensors {
        let storage = &model.storages[tensor.storage];
        let place = kept.iter().position(|known| known.key == storage.key);
        tensor.storage = place.unwrap_or_else(|| {
            kept.push(storage.clone());
            kept.len() - 1
        });
    }
    model.storages = kept;
}
