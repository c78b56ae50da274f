//! Whole networks of MedicalNet's size, written here in both containers and compared value by value.

use consilium_domain::network::{Depth, NetworkSpec};
use consilium_weights::checkpoint::{Container, Imported, MEDICALNET_WIDTH, import};

use crate::writer::formula;

/// Memory beside the weights: names, shapes, pickles.
const REST_BYTES: u64 = 4 << 20;

fn assert_formula(imported: &Imported, network: NetworkSpec) {
    let mut found = imported.weights.iter();
    for (tensor, t) in formula::indexed(network) {
        let (spec, values) = found.next().unwrap();
        assert_eq!(*spec, tensor);
        assert!(values == formula::values(&tensor, t), "{}", tensor.name);
    }
    assert!(found.next().is_none());
}

fn assert_network(depth: Depth, counters: usize, deflated_too: bool) {
    let network = NetworkSpec { depth, width: MEDICALNET_WIDTH };
    let model = formula::model(network);
    let mut files = vec![(Container::Legacy, model.legacy()), (Container::Zip, model.zipped(false))];
    if deflated_too {
        files.push((Container::Zip, model.zipped(true)));
    }
    drop(model);
    for (container, file) in files {
        let mut imported = None;
        let memory = allocation_counter::measure(|| imported = Some(import(&file, network).unwrap()));
        let imported = imported.unwrap();
        assert_eq!(imported.container, container);
        assert_eq!((imported.counters, imported.had_prefix), (counters, true));
        assert_eq!((imported.head.len(), imported.release), (0, None));
        assert_eq!(imported.beside, ["epoch"]);
        assert_formula(&imported, network);
        let weights = 4 * imported.weights.values().len() as u64;
        let largest = 4 * imported.weights.iter().map(|(_, values)| values.len() as u64).max().unwrap();
        // Inflating doubles its buffer as it grows.
        let limit = weights + REST_BYTES + if deflated_too { 3 * largest } else { 0 };
        assert!(memory.bytes_max <= limit, "{} bytes for {weights} of weights", memory.bytes_max);
    }
}

#[test]
fn resnet_10_is_imported_from_both_containers_exactly() {
    assert_network(Depth::D10, 12, true);
}

#[test]
fn resnet_50_is_imported_from_both_containers_exactly() {
    assert_network(Depth::D50, 53, false);
}
