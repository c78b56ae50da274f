//! Weights from and to a file, a part at a time: never the file and the values in memory together.

use std::io::{self, Read, Write};
use std::sync::Arc;

use consilium_domain::network::TensorSpec;

use crate::{FileLayout, Weights, WeightsError};

/// Bytes of a file that are in memory at once: enough that calls cost nothing, few enough for a processor's cache.
const PART_BYTES: usize = 1 << 18;

/// Why no weights could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadWeightsError {
    /// The file cannot be read.
    #[error("the weights cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It was read, and holds other weights or none.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl Weights {
    /// Reads a safetensors file of `bytes` bytes, and checks as [`Weights::from_safetensors`] does.
    ///
    /// # Errors
    /// When `file` fails or ends before, or does not hold exactly the tensors of `manifest`.
    pub fn read(
        mut file: impl Read,
        bytes: u64,
        manifest: Arc<[TensorSpec]>,
    ) -> Result<Self, ReadWeightsError> {
        let layout = FileLayout::of(manifest.clone());
        let mut header = Vec::new();
        (&mut file).take(layout.header().len() as u64).read_to_end(&mut header)?;
        if header != layout.header() || bytes != layout.bytes() {
            // Written by somebody else, who may put the same tensors in another order.
            file.take(bytes.saturating_sub(header.len() as u64)).read_to_end(&mut header)?;
            return Ok(Self::from_safetensors(&header, manifest)?);
        }
        let mut values = vec![0.0; layout.coordinates()];
        let mut part = vec![0; PART_BYTES];
        for run in layout.in_file() {
            for values in values[run].chunks_mut(PART_BYTES / FileLayout::VALUE_BYTES) {
                let part = &mut part[..size_of_val(values)];
                file.read_exact(part)?;
                let words = part.as_chunks().0.iter();
                values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_le_bytes(*word));
            }
        }
        Ok(Self::new(manifest, values)?)
    }

    /// Writes the file of [`Weights::to_safetensors`].
    ///
    /// # Errors
    /// When `file` fails.
    pub fn write(&self, mut file: impl Write) -> io::Result<()> {
        let layout = FileLayout::of(self.manifest().clone());
        file.write_all(layout.header())?;
        let mut part = Vec::with_capacity(PART_BYTES);
        for run in layout.in_file() {
            for values in self.values()[run].chunks(PART_BYTES / FileLayout::VALUE_BYTES) {
                FileLayout::encode(values, &mut part);
                file.write_all(&part)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::{Depth, NetworkSpec, TensorKind, Tuning};
    use consilium_domain::{Arm, Seed};

    use super::*;
    use crate::initial_trainable;

    fn weights() -> Weights {
        let spec = NetworkSpec { depth: Depth::D18, width: 8 };
        initial_trainable(spec, Arm::Random, Tuning::default(), &Seed::from_number(1), None).unwrap()
    }

    #[test]
    fn a_file_of_several_parts_comes_back() {
        let (weights, mut written) = (weights(), Vec::new());
        let largest = weights.iter().map(|(_, values)| size_of_val(values)).max();
        assert!(largest > Some(PART_BYTES), "several parts");
        weights.write(&mut written).unwrap();
        let read = Weights::read(&written[..], written.len() as u64, weights.manifest().clone()).unwrap();
        assert_eq!(read, weights);
    }

    #[test]
    fn another_ones_file_of_the_same_tensors_is_read_too() {
        let manifest: Arc<[TensorSpec]> =
            vec![TensorSpec { name: "x".into(), shape: vec![2], kind: TensorKind::LinearBias }].into();
        let header = br#"{"x":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}  "#;
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend([1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
        let ours = Weights::new(manifest.clone(), vec![1.5, -2.0]).unwrap();
        assert_ne!(file, ours.to_safetensors());
        assert_eq!(Weights::read(&file[..], file.len() as u64, manifest).unwrap(), ours);
    }

    #[test]
    fn what_is_cut_or_not_finite_is_refused() {
        let (weights, manifest) = (weights(), weights().manifest().clone());
        let file = weights.to_safetensors();
        let cut = Weights::read(&file[..file.len() - 1], file.len() as u64, manifest.clone()).unwrap_err();
        assert!(matches!(&cut, ReadWeightsError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof));
        let shorter = Weights::read(&file[..], file.len() as u64 - 1, manifest.clone()).unwrap_err();
        assert!(matches!(shorter, ReadWeightsError::Weights(WeightsError::Format(_))), "{shorter}");
        let mut broken = file;
        let last = broken.len() - 4;
        broken[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        let broken = Weights::read(&broken[..], broken.len() as u64, manifest).unwrap_err();
        assert!(matches!(broken, ReadWeightsError::Weights(WeightsError::NotFinite { .. })), "{broken}");
    }
}
