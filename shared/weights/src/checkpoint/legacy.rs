//! The container of PyTorch before 1.6: five pickles one after the other, then every storage.
//!
//! A number that marks the format, its version, the machine that wrote it, the saved object, the keys of its
//! storages in order; then for each storage its number of values (64 bits) and the values.

use std::collections::BTreeMap;

use super::CheckpointError;
use super::callable::shown;
use super::cursor::Cursor;
use super::unpickler::{Pickled, unpickle};
use super::value::{Heap, Node, Value};

/// The number every file begins with.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// [`MAGIC`] as a pickle of ten bytes.
pub(super) const MAGIC_BYTES: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version there ever was.
const VERSION: i128 = 1001;

/// The saved object and the bytes of its storages, in the object's order.
pub(super) fn read(file: &[u8]) -> Result<(Pickled<'_>, Vec<&[u8]>), CheckpointError> {
    let mut cursor = Cursor::new(file);
    let magic = unpickle(&mut cursor)?;
    if *magic.heap.value(magic.root) != Value::Int(MAGIC) {
        return Err(CheckpointError::Malformed { what: "the mark of the format is wrong", at: 0 });
    }
    let version = unpickle(&mut cursor)?;
    match version.heap.value(version.root) {
        Value::Int(VERSION) => {}
        Value::Int(found) => {
            return Err(CheckpointError::Version { found: found.to_string(), expected: "1001" });
        }
        other => return Err(CheckpointError::Version { found: other.kind().into(), expected: "1001" }),
    }
    check_machine(&unpickle(&mut cursor)?, cursor.at())?;
    let object = unpickle(&mut cursor)?;
    let at = cursor.at();
    let keys = unpickle(&mut cursor)?;
    let storages = storages(&object.heap, &keys, at, &mut cursor)?;
    match cursor.left() {
        0 => Ok((object, storages)),
        bytes => Err(CheckpointError::TrailingBytes { bytes }),
    }
}

/// Little-endian machines say so; the rest of what they say concerns Python's own pickles.
fn check_machine(machine: &Pickled<'_>, at: usize) -> Result<(), CheckpointError> {
    let pairs = machine.heap.dict(machine.root);
    let pairs =
        pairs.ok_or(CheckpointError::Malformed { what: "the writer's machine is not described", at })?;
    let order = pairs.iter().find(|(key, _)| machine.heap.text(*key) == Some("little_endian"));
    match order.map(|(_, value)| machine.heap.value(*value)) {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(CheckpointError::ByteOrder { found: "big-endian".into() }),
        _ => Err(CheckpointError::ByteOrder { found: "an unknown".into() }),
    }
}

fn storages<'f>(
    heap: &Heap<'_>,
    keys: &Pickled<'_>,
    at: usize,
    cursor: &mut Cursor<'f>,
) -> Result<Vec<&'f [u8]>, CheckpointError> {
    let Value::List(listed) = keys.heap.value(keys.root) else {
        return Err(CheckpointError::Malformed { what: "the list of tensor memory is missing", at });
    };
    let mut found: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for &node in listed {
        let (key, bytes) = storage(heap, &keys.heap, node, at, cursor)?;
        if found.insert(key, bytes).is_some() {
            return Err(CheckpointError::StorageContradiction { key: shown(key) });
        }
    }
    let bytes = heap.storages.iter().map(|spec| {
        let bytes = found.get(spec.key.as_str()).copied();
        bytes.ok_or_else(|| CheckpointError::StorageMissing { key: shown(&spec.key) })
    });
    bytes.collect()
}

fn storage<'k, 'f>(
    heap: &Heap<'_>,
    keys: &Heap<'k>,
    node: Node,
    at: usize,
    cursor: &mut Cursor<'f>,
) -> Result<(&'k str, &'f [u8]), CheckpointError> {
    let key = keys.text(node);
    let key = key.ok_or(CheckpointError::Malformed { what: "a key of tensor memory is no text", at })?;
    let spec = heap.find_storage(key).ok_or_else(|| CheckpointError::StorageUnused { key: shown(key) })?;
    let values = u64::from_le_bytes(cursor.array("tensor memory")?);
    if values != spec.values {
        let bytes = |values: u64| values.saturating_mul(spec.element.bytes());
        return Err(CheckpointError::StorageSize {
            key: shown(key),
            expected: bytes(spec.values),
            found: bytes(values),
        });
    }
    let bytes = spec.bytes().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
    Ok((key, cursor.take(bytes, "tensor memory")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_number() {
        let file: Vec<u8> = MAGIC_BYTES.into_iter().chain(*b".").collect();
        let magic = unpickle(&mut Cursor::new(&file)).unwrap();
        assert_eq!(*magic.heap.value(magic.root), Value::Int(MAGIC));
    }
}
