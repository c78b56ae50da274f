//! From the saved object to its named tensors.
//!
//! The object is a state dictionary, or a dictionary with one under `state_dict` and other things beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::CheckpointError;
use super::callable::shown;
use super::tensor::SavedTensor;
use super::unpickler::Pickled;
use super::value::{Heap, Node, Value};

/// What `torch.nn.DataParallel` puts before every name.
const PARALLEL_PREFIX: &str = "module.";
/// Where training scripts keep the weights.
const WRAPPER: &str = "state_dict";

/// The named tensors of a saved object.
#[derive(Debug, PartialEq)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, SavedTensor>,
    pub(super) has_prefix: bool,
    /// What lies beside the weights.
    pub(super) beside: Vec<String>,
}

impl Contents {
    /// The tensors of `object`.
    pub(super) fn of(object: &Pickled<'_>) -> Result<Self, CheckpointError> {
        let heap = &object.heap;
        let kind = heap.value(object.root).kind();
        let pairs = heap.dict(object.root).ok_or(CheckpointError::NoStateDict(kind))?;
        let outer = texts(heap, pairs)?;
        let wrapped = outer.get(WRAPPER).copied();
        let Some(inner) = wrapped else { return named_tensors(heap, &outer, Vec::new()) };
        let kind = heap.value(inner).kind();
        let pairs =
            heap.dict(inner).ok_or(CheckpointError::NotATensor { key: WRAPPER.into(), found: kind })?;
        let beside = outer.keys().filter(|key| **key != WRAPPER).map(|key| shown(key)).collect();
        named_tensors(heap, &texts(heap, pairs)?, beside)
    }
}

/// The pairs of a dictionary by their keys, which are texts and different.
fn texts<'p>(heap: &Heap<'p>, pairs: &[(Node, Node)]) -> Result<BTreeMap<&'p str, Node>, CheckpointError> {
    let mut by_text = BTreeMap::new();
    for &(key, value) in pairs {
        let key =
            heap.text(key).ok_or(CheckpointError::NoStateDict("a dictionary with keys that are no texts"))?;
        if by_text.insert(key, value).is_some() {
            return Err(CheckpointError::KeyTwice(shown(key)));
        }
    }
    Ok(by_text)
}

fn named_tensors(
    heap: &Heap<'_>,
    pairs: &BTreeMap<&str, Node>,
    beside: Vec<String>,
) -> Result<Contents, CheckpointError> {
    if pairs.is_empty() {
        return Err(CheckpointError::NoStateDict("an empty dictionary"));
    }
    let mut tensors = BTreeMap::new();
    let (with, without): (BTreeSet<&str>, BTreeSet<&str>) =
        pairs.keys().partition(|key| key.starts_with(PARALLEL_PREFIX));
    for (key, &node) in pairs {
        match heap.value(node) {
            Value::Tensor(tensor) => {
                let name = key.strip_prefix(PARALLEL_PREFIX).unwrap_or(key);
                tensors.insert(name.to_owned(), tensor.clone());
            }
            other => return Err(CheckpointError::NotATensor { key: shown(key), found: other.kind() }),
        }
    }
    if let (Some(with), Some(without)) = (with.first(), without.first()) {
        return Err(CheckpointError::MixedPrefix { with: shown(with), without: shown(without) });
    }
    Ok(Contents { tensors, has_prefix: !with.is_empty(), beside })
}
