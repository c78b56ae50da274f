//! A tensor as a checkpoint describes it: a view of a block of values, its storage.
//!
//! PyTorch lets tensors share storages, begin in the middle of one, and run through it in any order. All of that is
//! read; a tensor that leaves its storage, or whose places share a value, is refused.

use super::CheckpointError;
use super::element::Element;

/// A block of values of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSpec {
    /// Its name in the file.
    pub key: String,
    /// What its values are.
    pub element: Element,
    /// How many there are.
    pub values: u64,
}

impl StorageSpec {
    /// Its size in the file. `None` where that is beyond any file.
    pub(super) const fn bytes(&self) -> Option<u64> {
        self.values.checked_mul(self.element.bytes())
    }
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTensor {
    pub(super) storage: usize,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
    /// Values of the storage from the first to the last that the tensor has, both included.
    pub(super) span: u64,
}

impl SavedTensor {
    /// The tensor of `shape` and `strides` that begins at value `offset` of storage number `storage`, which is
    /// `spec`. The pickle says so at `at`.
    pub(super) fn new(
        (storage, spec): (usize, &StorageSpec),
        offset: u64,
        shape: Vec<u64>,
        strides: Vec<u64>,
        at: usize,
    ) -> Result<Self, CheckpointError> {
        let outside = || CheckpointError::OutsideStorage {
            shape: shape.clone(),
            strides: strides.clone(),
            offset,
            values: spec.values,
            at,
        };
        let span = if shape.contains(&0) { Some(0) } else { span(&shape, &strides) };
        let span = span.ok_or_else(outside)?;
        if offset.checked_add(span).is_none_or(|end| end > spec.values) {
            return Err(outside());
        }
        if span > 0 && overlaps_itself(&shape, &strides) {
            return Err(CheckpointError::OverlapsItself { shape, strides, at });
        }
        Ok(Self { storage, offset, shape, strides, span })
    }

    /// Its extents, slowest first.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Its number of values: at most those of its storage, for no two places share one.
    pub fn values(&self) -> u64 {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// Copies its values out of `storage`'s bytes, in the order of the shape.
    ///
    /// `bytes` are all those of the storage, `into` has room for exactly the tensor.
    pub(super) fn gather(&self, bytes: &[u8], into: &mut [f32]) {
        if self.span == 0 {
            return;
        }
        let (words, _) = bytes.as_chunks::<4>();
        let values = &words[self.offset as usize..][..self.span as usize];
        if self.is_in_order() {
            for (target, word) in into.iter_mut().zip(values) {
                *target = f32::from_le_bytes(*word);
            }
            return;
        }
        let (mut place, mut index) = (vec![0; self.shape.len()], 0);
        for target in into {
            *target = f32::from_le_bytes(values[index as usize]);
            for axis in (0..place.len()).rev() {
                place[axis] += 1;
                index += self.strides[axis];
                if place[axis] < self.shape[axis] {
                    break;
                }
                index -= place[axis] * self.strides[axis];
                place[axis] = 0;
            }
        }
    }

    /// Whether the values lie one after the other, the last axis fastest.
    fn is_in_order(&self) -> bool {
        let mut next = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&extent, &stride)| {
            let fits = extent == 1 || stride == next;
            next *= extent;
            fits
        })
    }
}

/// Values from the first to the last of a view. `None` where that is beyond any storage.
fn span(shape: &[u64], strides: &[u64]) -> Option<u64> {
    let mut last = 0u64;
    for (&extent, &stride) in shape.iter().zip(strides) {
        last = last.checked_add((extent - 1).checked_mul(stride)?)?;
    }
    last.checked_add(1)
}

/// Whether two places share a value, or could: axes from the smallest stride on must each step over all that the
/// smaller ones reach.
fn overlaps_itself(shape: &[u64], strides: &[u64]) -> bool {
    let mut axes: Vec<(u64, u64)> = strides.iter().copied().zip(shape.iter().copied()).collect();
    axes.retain(|&(_, extent)| extent > 1);
    axes.sort_unstable();
    let mut reach = 1;
    axes.into_iter().any(|(stride, extent)| {
        let overlaps = stride < reach;
        // The whole reach was found to lie in the storage, so this does not overflow.
        reach += stride * (extent - 1);
        overlaps
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn storage(values: u64) -> StorageSpec {
        StorageSpec { key: "0".into(), element: Element::Float32, values }
    }

    fn tensor(
        values: u64,
        offset: u64,
        shape: &[u64],
        strides: &[u64],
    ) -> Result<SavedTensor, CheckpointError> {
        SavedTensor::new((0, &storage(values)), offset, shape.to_vec(), strides.to_vec(), 0)
    }

    fn values(tensor: &SavedTensor) -> Vec<f32> {
        let bytes: Vec<u8> = (0..100).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let mut into = vec![0.0; tensor.values() as usize];
        tensor.gather(&bytes, &mut into);
        into
    }

    #[test]
    fn views_are_read_in_the_order_of_their_shape() {
        assert_eq!(values(&tensor(100, 3, &[2, 2], &[2, 1]).unwrap()), [3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values(&tensor(100, 0, &[2, 3], &[1, 2]).unwrap()), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(values(&tensor(100, 99, &[1, 1], &[77, 5]).unwrap()), [99.0]);
        assert_eq!(values(&tensor(100, 7, &[], &[]).unwrap()), [7.0]);
        assert_eq!(values(&tensor(100, 100, &[3, 0], &[1, 1]).unwrap()), [0.0; 0]);
        assert_eq!(values(&tensor(100, 0, &[u64::MAX, u64::MAX, 0], &[1, 1, 1]).unwrap()), [0.0; 0]);
    }

    #[test]
    fn views_beyond_the_storage_are_refused() {
        for (offset, shape, strides) in [
            (97, [2, 2], [2, 1]),
            (u64::MAX, [1, 1], [1, 1]),
            (0, [u64::MAX, 2], [1, 1]),
            (0, [2, 2], [u64::MAX, u64::MAX]),
            (101, [0, 0], [1, 1]),
        ] {
            let refused = tensor(100, offset, &shape, &strides);
            assert!(matches!(refused, Err(CheckpointError::OutsideStorage { .. })), "{shape:?}");
        }
    }

    #[test]
    fn expanded_and_folded_views_are_refused() {
        for strides in [[0, 1], [1, 1], [1, 2], [2, 0]] {
            let refused = tensor(100, 0, &[3, 3], &strides);
            assert!(matches!(refused, Err(CheckpointError::OverlapsItself { .. })), "{strides:?}");
        }
    }

    proptest! {
        /// A view that is accepted reads as many different values as it has places.
        #[test]
        fn no_value_is_read_twice(
            offset in 0..40u64,
            axes in prop::collection::vec((1..5u64, 0..30u64), 0..4),
        ) {
            let (shape, strides): (Vec<u64>, Vec<u64>) = axes.into_iter().unzip();
            if let Ok(tensor) = tensor(100, offset, &shape, &strides) {
                let mut read = values(&tensor);
                let places = read.len();
                read.sort_by(f32::total_cmp);
                read.dedup();
                prop_assert_eq!(read.len(), places);
                prop_assert!(read.iter().all(|value| *value >= offset as f32));
            }
        }
    }
}
