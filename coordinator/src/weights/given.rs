//! What `run --weights X` means: a safetensors file, or weights of the store by name or digest.

use std::path::{Path, PathBuf};

use consilium_domain::network::NetworkSpec;

use super::{StoreError, WeightsStore};

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
    if entry.record.network != network {
        let (name, found) = (entry.record.name, entry.record.network);
        return Err(GivenWeightsError::Network { name, found, asked: network });
    }
    entry.read().map_err(GivenWeightsError::Store)?;
    Ok(entry.path)
}
