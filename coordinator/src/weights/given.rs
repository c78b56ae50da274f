//! What `run --weights X` means: a safetensors file, or weights of the store by name or digest.

use std::path::{Path, PathBuf};

use consilium_domain::network::NetworkSpec;

use super::{Entry, StoreError, WeightsStore};

/// Where imported weights are kept unless another folder is named.
pub const DEFAULT_STORE: &str = "weights";

/// Why `--weights` leads to no file.
#[derive(Debug, thiserror::Error)]
pub enum GivenWeightsError {
    /// Neither a file nor in the store.
    #[error("--weights {given} is no file, and {source}")]
    Neither {
        /// As given.
        given: PathBuf,
        /// What the store says.
        source: StoreError,
    },
    /// The store's entry cannot be used.
    #[error(transparent)]
    Store(StoreError),
    /// Both a file and an entry.
    #[error(
        "--weights {given} is a file and the name of weights in {store}: write ./{given} for the file, or the digest {digest} for the weights"
    )]
    Both {
        /// As given.
        given: String,
        /// The store.
        store: PathBuf,
        /// The digest of the entry.
        digest: consilium_domain::Digest,
    },
    /// Weights of another network.
    #[error("the weights `{name}` are of a ResNet-{} of width {}, and the study's network is a ResNet-{} of width {}: name other weights, or set `depth` and `width` of the study's [network]", found.depth.layers(), found.width, asked.depth.layers(), asked.width)]
    Network {
        /// What they are called.
        name: String,
        /// Their network.
        found: NetworkSpec,
        /// The study's.
        asked: NetworkSpec,
    },
    /// An unconverted checkpoint.
    #[error(
        "{0} is a PyTorch checkpoint: import it first with `consilium-coordinator weights import {0} --depth {1}`"
    )]
    Checkpoint(PathBuf, u16),
}

/// The safetensors file that `given` means for a study of `network`. Weights of the store are compared with their
/// digest; a plain file is verified when the study opens.
///
/// # Errors
/// When it is neither, both, or of another network.
pub fn given_weights(
    given: &Path,
    store: &WeightsStore,
    network: NetworkSpec,
) -> Result<PathBuf, GivenWeightsError> {
    let name = given.to_str().filter(|name| !name.contains(['/', '\\']));
    let found = name.map(|name| store.find(name));
    if given.is_file() {
        if let (Some(Ok(entry)), Some(name)) = (found, name) {
            let store = store.folder().to_owned();
            return Err(GivenWeightsError::Both { given: name.into(), store, digest: entry.record.digest });
        }
        if given.extension().is_some_and(|ending| ending == "pth" || ending == "pt") {
            return Err(GivenWeightsError::Checkpoint(given.to_owned(), network.depth.layers()));
        }
        return Ok(given.to_owned());
    }
    let entry = match found {
        Some(Ok(entry)) => entry,
        Some(Err(source)) => return Err(GivenWeightsError::Neither { given: given.to_owned(), source }),
        None => {
            let (name, folder) = (given.display().to_string(), store.folder().to_owned());
            let source = StoreError::Unknown { name, folder };
            return Err(GivenWeightsError::Neither { given: given.to_owned(), source });
        }
    };
    read_for(&entry, network)?;
    Ok(entry.path)
}

/// The weights called `name` in `store`, for a study of `network`. A path is never followed: whoever names weights
/// from another machine gets no other file of this one.
///
/// # Errors
/// When the store has no such weights, they are damaged, or of another network.
pub fn stored_weights(
    name: &str,
    store: &WeightsStore,
    network: NetworkSpec,
) -> Result<Vec<u8>, GivenWeightsError> {
    let entry = store.find(name).map_err(GivenWeightsError::Store)?;
    read_for(&entry, network)
}

/// The weights of `entry`, compared with their digest.
fn read_for(entry: &Entry, network: NetworkSpec) -> Result<Vec<u8>, GivenWeightsError> {
    let found = entry.record.network;
    if found != network {
        let name = entry.record.name.clone();
        return Err(GivenWeightsError::Network { name, found, asked: network });
    }
    entry.read().map_err(GivenWeightsError::Store)
}

#[cfg(test)]
mod tests {
    use consilium_domain::Digest;
    use consilium_domain::network::Depth;

    use super::*;
    use crate::weights::{Chosen, Record};

    const NETWORK: NetworkSpec = NetworkSpec { depth: Depth::D10, width: 2 };

    fn store_with(folder: &Path, name: &str, weights: &[u8]) -> (WeightsStore, Digest) {
        let store = WeightsStore::new(&folder.join("weights"));
        let record = Record::example(name, NETWORK, weights);
        let digest = record.digest;
        store.add(record, Chosen::default(), weights).unwrap();
        (store, digest)
    }

    #[test]
    fn names_digests_and_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (store, digest) = store_with(dir.path(), "backbone", b"weights");
        let given = |given: &str| given_weights(Path::new(given), &store, NETWORK);
        let path = given("backbone").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"weights");
        assert_eq!(given(&digest.to_string()).unwrap(), path);
        assert_eq!(given(&digest.short()).unwrap(), path);
        let file = dir.path().join("plain.safetensors");
        std::fs::write(&file, b"other").unwrap();
        assert_eq!(given(file.to_str().unwrap()).unwrap(), file);
        assert!(matches!(given("back"), Err(GivenWeightsError::Neither { .. })));
        assert!(matches!(given("./backbone"), Err(GivenWeightsError::Neither { .. })));
        let checkpoint = dir.path().join("resnet_10.pth");
        std::fs::write(&checkpoint, b"").unwrap();
        let refused = given(checkpoint.to_str().unwrap()).unwrap_err().to_string();
        assert!(refused.contains("weights import") && refused.contains("--depth 10"), "{refused}");
    }

    #[test]
    fn weights_named_from_another_machine_are_of_the_store_only() {
        let dir = tempfile::tempdir().unwrap();
        let (store, digest) = store_with(dir.path(), "backbone", b"weights");
        let file = dir.path().join("plain.safetensors");
        std::fs::write(&file, b"other").unwrap();
        assert_eq!(stored_weights("backbone", &store, NETWORK).unwrap(), b"weights");
        assert_eq!(stored_weights(&digest.short(), &store, NETWORK).unwrap(), b"weights");
        for name in [file.to_str().unwrap(), "../plain.safetensors", "weights/../backbone", ""] {
            let refused = stored_weights(name, &store, NETWORK);
            assert!(matches!(refused, Err(GivenWeightsError::Store(StoreError::Unknown { .. }))), "{name}");
        }
    }

    #[test]
    fn weights_of_another_network_are_refused_with_both() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = store_with(dir.path(), "backbone", b"weights");
        let asked = NetworkSpec { depth: Depth::D50, width: 64 };
        let refused = given_weights(Path::new("backbone"), &store, asked).unwrap_err().to_string();
        assert!(refused.contains("ResNet-10 of width 2") && refused.contains("ResNet-50 of width 64"));
    }

    #[test]
    fn weights_that_were_changed_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = store_with(dir.path(), "backbone", b"weights");
        std::fs::write(store.find("backbone").unwrap().path, b"Weights").unwrap();
        let refused = given_weights(Path::new("backbone"), &store, NETWORK);
        assert!(matches!(refused, Err(GivenWeightsError::Store(StoreError::Damaged { .. }))));
    }
}
