//! Where every value lies in a file of weights, so that a model can be read and written a part at a time.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use safetensors::tensor::{Dtype, View};

/// The layout of the file that [`crate::Weights::to_safetensors`] writes for a manifest.
#[derive(Debug, Clone)]
pub struct FileLayout {
    manifest: Arc<[TensorSpec]>,
    header: Vec<u8>,
    /// Of every tensor in the manifest's order: its first coordinate, and where its values begin in the file.
    tensors: Vec<(usize, u64)>,
    bytes: u64,
}

/// Coordinates that lie one after the other in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'l> {
    /// The name of their tensor.
    pub tensor: &'l str,
    /// Which coordinates, counted over the whole manifest.
    pub coordinates: Range<usize>,
    /// Where the first one's four bytes begin.
    pub offset: u64,
}

impl FileLayout {
    /// Bytes of a value: `f32`, little-endian.
    pub const VALUE_BYTES: usize = size_of::<f32>();

    /// The layout for `manifest`.
    pub fn of(manifest: Arc<[TensorSpec]>) -> Self {
        let views = manifest.iter().map(|tensor| (tensor.name.as_str(), Hollow(tensor)));
        let header = safetensors::serialize(views, None).expect("a manifest's tensors always serialise");
        let mut by_name: Vec<usize> = (0..manifest.len()).collect();
        by_name.sort_by_key(|&tensor| &manifest[tensor].name);
        let mut tensors = vec![(0, 0); manifest.len()];
        let mut offset = header.len() as u64;
        for tensor in by_name {
            tensors[tensor].1 = offset;
            offset += (Self::VALUE_BYTES * manifest[tensor].values()) as u64;
        }
        let mut first = 0;
        for (tensor, place) in manifest.iter().zip(&mut tensors) {
            place.0 = first;
            first += tensor.values();
        }
        Self { manifest, header, tensors, bytes: offset }
    }

    /// What the file begins with, before any value. A file of the right length that begins so has this layout.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Length of the file.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts the bytes of `values`, as they lie in the file, in the place of what `bytes` held.
    pub fn encode(values: &[f32], bytes: &mut Vec<u8>) {
        bytes.resize(size_of_val(values), 0);
        let words = bytes.as_chunks_mut().0.iter_mut();
        words.zip(values).for_each(|(word, value)| *word = value.to_le_bytes());
    }

    /// Values in the file.
    pub(crate) fn coordinates(&self) -> usize {
        self.manifest.iter().map(TensorSpec::values).sum()
    }

    /// The coordinates of every tensor, in the order that they have in the file.
    pub(crate) fn in_file(&self) -> impl Iterator<Item = Range<usize>> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        // Those without values share their place with the next.
        order.sort_by_key(|&tensor| (self.tensors[tensor].1, self.manifest[tensor].values()));
        order.into_iter().map(|tensor| {
            let first = self.tensors[tensor].0;
            first..first + self.manifest[tensor].values()
        })
    }

    /// Where `coordinates` lie, tensor by tensor. What is beyond the last coordinate is left out.
    pub fn runs(&self, coordinates: Range<usize>) -> impl Iterator<Item = Run<'_>> {
        let first = self.tensors.partition_point(|(start, _)| *start <= coordinates.start).saturating_sub(1);
        let tensors = self.manifest[first..].iter().zip(&self.tensors[first..]);
        let reached = tensors.take_while({
            let end = coordinates.end;
            move |(_, (start, _))| *start < end
        });
        reached.filter_map(move |(tensor, &(start, offset))| {
            let run = coordinates.start.max(start)..coordinates.end.min(start + tensor.values());
            let skipped = Self::VALUE_BYTES * (run.start - start);
            let offset = offset + skipped as u64;
            (!run.is_empty()).then_some(Run { tensor: &tensor.name, coordinates: run, offset })
        })
    }
}

/// A tensor without its values: only the header of the file is wanted.
struct Hollow<'t>(&'t TensorSpec);

impl View for Hollow<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&[])
    }

    fn data_len(&self) -> usize {
        FileLayout::VALUE_BYTES * self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::{Depth, NetworkSpec, Tuning};
    use consilium_domain::{Arm, Seed};

    use super::*;
    use crate::{Weights, initial_trainable};

    fn weights() -> Weights {
        let spec = NetworkSpec { depth: Depth::D10, width: 2 };
        initial_trainable(spec, Arm::Random, Tuning::default(), &Seed::from_number(1), None).unwrap()
    }

    #[test]
    fn a_file_put_together_by_runs_is_the_file() {
        let weights = weights();
        let file = weights.to_safetensors();
        let layout = FileLayout::of(weights.manifest().clone());
        assert_eq!(layout.bytes(), file.len() as u64);
        for step in [1_000, 37, usize::MAX] {
            let mut written = layout.header().to_vec();
            written.resize(file.len(), 0xAA);
            let mut next = 0;
            while next < weights.values().len() {
                let end = next.saturating_add(step);
                for run in layout.runs(next..end) {
                    assert_eq!(run.coordinates.start, next, "no coordinate is left out");
                    next = run.coordinates.end;
                    let mut bytes = Vec::new();
                    FileLayout::encode(&weights.values()[run.coordinates], &mut bytes);
                    let offset = run.offset as usize;
                    written[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
            assert!(written == file, "in steps of {step}");
        }
        let last = weights.values().len();
        assert_eq!(layout.runs(last..last + 5).count(), 0);
        assert_eq!(layout.runs(3..3).count(), 0);
    }

    #[test]
    fn a_run_names_its_tensor() {
        let weights = weights();
        let layout = FileLayout::of(weights.manifest().clone());
        let first = &weights.manifest()[0];
        let runs: Vec<_> = layout.runs(first.values() - 1..first.values() + 1).collect();
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].tensor, runs[0].coordinates.len()), (first.name.as_str(), 1));
        assert_eq!(runs[1].tensor, weights.manifest()[1].name);
    }
}
