//! From the bytes of a checkpoint to verified weights.

use std::sync::Arc;

use consilium_domain::network::{Depth, NetworkSpec, TensorSpec};

use super::limits::STORAGE_PER_NETWORK;
use super::release::{Release, Sha256};
use super::verify::verify;
use super::{Checkpoint, CheckpointError, Container, KeyMismatch, SavedTensor};
use crate::{Weights, WeightsError};

/// Channels of MedicalNet's first stage.
pub const MEDICALNET_WIDTH: u16 = 64;

/// A backbone that was read from a checkpoint, and what the file was.
#[derive(Debug)]
pub struct Imported {
    /// The backbone.
    pub weights: Weights,
    /// The file's hash.
    pub sha256: Sha256,
    /// The published file it is.
    pub release: Option<Release>,
    /// How it was wrapped.
    pub container: Container,
    /// Whether its names began with `module.`.
    pub had_prefix: bool,
    /// Tensors of the segmentation head, which were left out.
    pub head: Vec<String>,
    /// Batch counters, which were left out.
    pub counters: usize,
    /// What else the file held, which was not looked at.
    pub beside: Vec<String>,
}

/// Why a checkpoint does not become weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It is a published file of another depth.
    #[error("this is MedicalNet's {file_name}, a ResNet-{}: pass --depth {}", found.layers(), found.layers())]
    Depth {
        /// The file's name in the release.
        file_name: &'static str,
        /// Its depth.
        found: Depth,
    },
    /// Other tensors than the network's.
    #[error(transparent)]
    Keys(Box<KeyMismatch>),
    /// Two tensors share values.
    #[error(
        "`{first}` and `{second}` share or interleave their values in the file, and must be apart: save copies, made with .clone()"
    )]
    Shared {
        /// A tensor.
        first: String,
        /// The one that begins before its end.
        second: String,
    },
    /// A storage that holds far more than the network.
    #[error(
        "`{name}` lies in a block of {bytes} bytes, and the whole network has {network_bytes}: save a copy, made with .clone()"
    )]
    StorageTooLarge {
        /// A tensor in it.
        name: String,
        /// Its size.
        bytes: u64,
        /// The network's.
        network_bytes: u64,
    },
    /// A value is not finite.
    #[error("{0}: the file is damaged or its training diverged; it is of no use")]
    Values(WeightsError),
}

/// Reads the checkpoint `file` and verifies that it is the backbone of `network`, tensor by tensor.
///
/// Takes memory for the weights and, where the file is compressed, for its largest storage.
///
/// # Errors
/// When the file is no checkpoint, its tensors are not exactly the network's, or a value is not finite.
pub fn import(file: &[u8], network: NetworkSpec) -> Result<Imported, ImportError> {
    let checkpoint = Checkpoint::read(file)?;
    let sha256 = Sha256::of(file);
    let release = Release::recognise(sha256);
    if let Some(Release { file_name, depth: found, .. }) = release.filter(|r| r.depth != network.depth) {
        return Err(ImportError::Depth { file_name, found });
    }
    let left_out = verify(&checkpoint, network).map_err(|mismatch| ImportError::Keys(Box::new(mismatch)))?;
    Ok(Imported {
        weights: weights(&checkpoint, network)?,
        sha256,
        release,
        container: checkpoint.container(),
        had_prefix: checkpoint.has_prefix(),
        head: left_out.head,
        counters: left_out.counters,
        beside: checkpoint.beside().to_vec(),
    })
}

/// A tensor of the network: where it is in the file, and where among the weights.
struct Move<'c> {
    saved: &'c SavedTensor,
    name: &'c str,
    first: usize,
    values: usize,
}

fn weights(checkpoint: &Checkpoint<'_>, network: NetworkSpec) -> Result<Weights, ImportError> {
    let manifest: Arc<[TensorSpec]> = network.backbone_tensors().into();
    let mut moves = Vec::with_capacity(manifest.len());
    let mut count = 0;
    for spec in manifest.iter() {
        let saved = checkpoint.tensor(&spec.name).expect("every tensor was found");
        moves.push(Move { saved, name: &spec.name, first: count, values: spec.values() });
        count += spec.values();
    }
    moves.sort_by_key(|step| (step.saved.storage, step.saved.offset));
    check_apart(&moves)?;
    let network_bytes = 4 * count as u64;
    check_storages(checkpoint, &moves, network_bytes)?;
    let mut values = vec![0.0; count];
    for together in moves.chunk_by(|a, b| a.saved.storage == b.saved.storage) {
        let bytes =
            checkpoint.storage_bytes(together[0].saved.storage, STORAGE_PER_NETWORK * network_bytes)?;
        for step in together {
            step.saved.gather(&bytes, &mut values[step.first..][..step.values]);
        }
    }
    drop(moves);
    Weights::new(manifest, values).map_err(ImportError::Values)
}

fn check_apart(moves: &[Move<'_>]) -> Result<(), ImportError> {
    for pair in moves.windows(2) {
        let [first, second] = [pair[0].saved, pair[1].saved];
        if first.storage == second.storage && second.offset < first.offset + first.span {
            return Err(ImportError::Shared { first: pair[0].name.into(), second: pair[1].name.into() });
        }
    }
    Ok(())
}

/// Before memory is taken for the first of them.
fn check_storages(
    checkpoint: &Checkpoint<'_>,
    moves: &[Move<'_>],
    network_bytes: u64,
) -> Result<(), ImportError> {
    for step in moves {
        let bytes = checkpoint.storage(step.saved).bytes().unwrap_or(u64::MAX);
        if bytes > STORAGE_PER_NETWORK * network_bytes {
            return Err(ImportError::StorageTooLarge { name: step.name.into(), bytes, network_bytes });
        }
    }
    Ok(())
}
