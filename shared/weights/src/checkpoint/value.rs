//! What a pickle makes: values that refer to one another by number.
//!
//! No value owns another, so that a pickle whose list contains itself, or whose tuples lie a million deep, costs
//! nothing to keep or to drop. Nobody walks them recursively.

use std::collections::BTreeMap;

use super::CheckpointError;
use super::callable::{Callable, shown};
use super::limits::MAX_VALUES;
use super::tensor::{SavedTensor, StorageSpec};

/// The number of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node(u32);

/// A value of a pickle that lives in `'p`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'p> {
    None,
    Bool(bool),
    Int(i128),
    /// A number that nothing here reads.
    Float,
    Text(&'p str),
    Tuple(Vec<Node>),
    List(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    Callable(Callable),
    /// By its place among the storages.
    Storage(usize),
    Tensor(SavedTensor),
}

impl Value<'_> {
    /// What it is, for errors.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float => "a number",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Callable(_) => "a class or function",
            Self::Storage(_) => "tensor memory",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// Every value of a pickle, and the storages they name.
#[derive(Debug, Default)]
pub(super) struct Heap<'p> {
    values: Vec<Value<'p>>,
    pub(super) storages: Vec<StorageSpec>,
    /// Places in `storages` by key.
    by_key: BTreeMap<String, usize>,
}

impl<'p> Heap<'p> {
    /// Keeps `value`, made at `at`.
    pub(super) fn keep(&mut self, value: Value<'p>, at: usize) -> Result<Node, CheckpointError> {
        if self.values.len() >= MAX_VALUES {
            return Err(CheckpointError::Limit { what: "values in the pickle", limit: MAX_VALUES, at });
        }
        self.values.push(value);
        Ok(Node(u32::try_from(self.values.len() - 1).expect("the cap is far below 2^32")))
    }

    /// The place of the storage `spec`, which is new or has been described in the same words before.
    pub(super) fn storage(&mut self, spec: StorageSpec) -> Result<usize, CheckpointError> {
        match self.by_key.get(&spec.key) {
            Some(&place) if self.storages[place] == spec => Ok(place),
            Some(_) => Err(CheckpointError::StorageContradiction { key: shown(&spec.key) }),
            None => {
                self.by_key.insert(spec.key.clone(), self.storages.len());
                self.storages.push(spec);
                Ok(self.storages.len() - 1)
            }
        }
    }

    /// The storage called `key`.
    pub(super) fn find_storage(&self, key: &str) -> Option<&StorageSpec> {
        self.by_key.get(key).map(|&place| &self.storages[place])
    }

    pub(super) fn value(&self, node: Node) -> &Value<'p> {
        &self.values[node.0 as usize]
    }

    pub(super) fn value_mut(&mut self, node: Node) -> &mut Value<'p> {
        &mut self.values[node.0 as usize]
    }

    /// The text of `node`, if it is one.
    pub(super) fn text(&self, node: Node) -> Option<&'p str> {
        match self.value(node) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of `node`, if it is one and not negative.
    pub(super) fn size(&self, node: Node) -> Option<u64> {
        match self.value(node) {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The values of `node`, if it is a tuple.
    pub(super) fn tuple(&self, node: Node) -> Option<&[Node]> {
        match self.value(node) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The sizes of `node`, if it is a tuple of them.
    pub(super) fn sizes(&self, node: Node) -> Option<Vec<u64>> {
        self.tuple(node)?.iter().map(|&item| self.size(item)).collect()
    }

    /// The pairs of `node`, if it is a dictionary.
    pub(super) fn dict(&self, node: Node) -> Option<&[(Node, Node)]> {
        match self.value(node) {
            Value::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }
}
