//! What must hold for every byte string that claims to be a checkpoint: shared by the fuzz target `checkpoint` and
//! by the plain tests over its corpus and over mutations.
//!
//! Includes no assertion on memory: the plain tests count that, libFuzzer has its own limit.

use consilium_domain::network::{Depth, NetworkSpec};
use consilium_weights::checkpoint::{Checkpoint, ImportError, import};

/// The smallest network, so that a fuzzer can come across a whole one.
const NETWORK: NetworkSpec = NetworkSpec { depth: Depth::D10, width: 1 };

/// Tensors above this many values are not read, to keep runs fast.
const SMALL_VALUES: u64 = 1 << 16;

/// Reads `bytes` in every way there is. Panics where the reader breaks a promise.
pub(crate) fn check(bytes: &[u8]) {
    let imported = import(bytes, NETWORK);
    match Checkpoint::read(bytes) {
        Ok(checkpoint) => {
            for (name, tensor) in checkpoint.tensors() {
                let storage = checkpoint.storage(tensor);
                assert!(tensor.values() <= storage.values, "no two places share a value");
                if storage.values <= SMALL_VALUES
                    && let Some(Ok(values)) = checkpoint.floats(name)
                {
                    assert_eq!(values.len() as u64, tensor.values());
                }
            }
        }
        Err(error) => assert_eq!(imported.as_ref().err(), Some(&ImportError::Checkpoint(error))),
    }
    if let Ok(imported) = imported {
        assert!(imported.weights.values().iter().all(|value| value.is_finite()));
        assert_eq!(imported.weights.manifest()[..], NETWORK.backbone_tensors());
    }
}
