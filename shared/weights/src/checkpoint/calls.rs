//! What the known classes and functions do with their arguments.

use super::CheckpointError;
use super::callable::Callable;
use super::limits::MAX_RANK;
use super::tensor::{SavedTensor, StorageSpec};
use super::value::{Heap, Node, Value};

/// Instructions that a call counts as: as many as the values it copies.
pub(super) fn cost(heap: &Heap<'_>, callable: Callable, arguments: Node) -> usize {
    match (callable, heap.tuple(arguments)) {
        (Callable::OrderedDict, Some([pairs])) => match heap.value(*pairs) {
            Value::List(pairs) => pairs.len(),
            _ => 0,
        },
        _ => 0,
    }
}

/// The result of `callable` called with the tuple `arguments` at `at`.
pub(super) fn call(
    heap: &mut Heap<'_>,
    callable: Callable,
    arguments: Node,
    at: usize,
) -> Result<Node, CheckpointError> {
    let wrong = |what| CheckpointError::Call { callable: callable.name(), what, at };
    let items = heap.tuple(arguments).unwrap_or_default();
    match (callable, items) {
        (Callable::OrderedDict, []) => heap.keep(Value::Dict(Vec::new()), at),
        (Callable::OrderedDict, &[pairs]) => {
            let pairs = ordered_pairs(heap, pairs).ok_or_else(|| wrong("is not given a list of pairs"))?;
            heap.keep(Value::Dict(pairs), at)
        }
        (Callable::RebuildParameter, &[tensor, _, _]) => match heap.value(tensor) {
            Value::Tensor(_) => Ok(tensor),
            _ => Err(wrong("is not given a tensor")),
        },
        (Callable::RebuildTensor, &[storage, offset, shape, strides, _, _]) => {
            let tensor = tensor(heap, [storage, offset, shape, strides], at)?;
            heap.keep(Value::Tensor(tensor), at)
        }
        (Callable::RebuildTensor, [_, _, _, _, _, _, _]) => {
            Err(wrong("is given a seventh argument, a conjugated or negated view"))
        }
        (Callable::Storage(_), _) => Err(wrong("is called, where weights only name it")),
        _ => Err(wrong("is given another number of arguments")),
    }
}

/// The pairs of an ordered dictionary as Python 2 writes them: a list of lists.
fn ordered_pairs(heap: &Heap<'_>, pairs: Node) -> Option<Vec<(Node, Node)>> {
    let Value::List(pairs) = heap.value(pairs) else { return None };
    let pair = |node: &Node| match heap.value(*node) {
        Value::List(items) | Value::Tuple(items) => match items[..] {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    };
    pairs.iter().map(pair).collect()
}

fn tensor(heap: &Heap<'_>, arguments: [Node; 4], at: usize) -> Result<SavedTensor, CheckpointError> {
    let [storage, offset, shape, strides] = arguments;
    let wrong = |what| CheckpointError::Call { callable: Callable::RebuildTensor.name(), what, at };
    let Value::Storage(storage) = *heap.value(storage) else {
        return Err(wrong("is not given tensor memory"));
    };
    let offset = heap.size(offset).ok_or_else(|| wrong("is given an offset that is no size"))?;
    for axes in [shape, strides] {
        if heap.tuple(axes).is_some_and(|axes| axes.len() > MAX_RANK) {
            return Err(CheckpointError::Limit { what: "extents of a tensor", limit: MAX_RANK, at });
        }
    }
    let shape = heap.sizes(shape).ok_or_else(|| wrong("is given a shape that is no tuple of sizes"))?;
    let strides = heap.sizes(strides).ok_or_else(|| wrong("is given strides that are no tuple of sizes"))?;
    if shape.len() != strides.len() {
        return Err(wrong("is given more extents than strides, or fewer"));
    }
    SavedTensor::new((storage, &heap.storages[storage]), offset, shape, strides, at)
}

/// The number of the storage that the persistent id `id` describes: `('storage', class, key, device, values)`, in
/// the older container with a sixth part, a view of the storage, which has been empty since PyTorch 0.4.
pub(super) fn storage(heap: &mut Heap<'_>, id: Node, at: usize) -> Result<usize, CheckpointError> {
    let wrong = |what| CheckpointError::StorageReference { what, at };
    let (kind, class, key, device, values) = match *heap.tuple(id).unwrap_or_default() {
        [kind, class, key, device, values] => (kind, class, key, device, values),
        [kind, class, key, device, values, view] => {
            if *heap.value(view) != Value::None {
                return Err(wrong("is a view of another one, as only PyTorch before 0.4 wrote them"));
            }
            (kind, class, key, device, values)
        }
        _ => return Err(wrong("has not five or six parts")),
    };
    match heap.text(kind) {
        Some("storage") => {}
        Some("module") => return Err(wrong("is the source code of a whole model; only weights are read")),
        _ => return Err(wrong("is not called `storage`")),
    }
    let Value::Callable(Callable::Storage(element)) = *heap.value(class) else {
        return Err(wrong("names no storage class"));
    };
    let key = heap.text(key).ok_or_else(|| wrong("has a key that is no text"))?.to_owned();
    heap.text(device).ok_or_else(|| wrong("has a device that is no text"))?;
    let values = heap.size(values).ok_or_else(|| wrong("has a size that is none"))?;
    let spec = StorageSpec { key, element, values };
    if spec.bytes().is_none() {
        return Err(wrong("has a size beyond 64 bits"));
    }
    heap.storage(spec)
}
