//! The networks' inputs of one scan as a file, so that other programs can be asked the same question.
//!
//! The file is the patient's images, cropped and scaled: as private as the scan itself, and readable by its owner only.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use consilium_domain::Modality;
use safetensors::tensor::{Dtype, TensorView};

/// The preprocessed image of one modality: 32-bit floats, slowest axis first.
pub struct Input {
    /// Which modality.
    pub modality: Modality,
    /// Extents: depth, height, width.
    pub shape: [usize; 3],
    /// The values.
    pub values: Vec<f32>,
}

/// Writes `inputs` as safetensors: one tensor `[1, depth, height, width]` of 32-bit floats a modality, called by its
/// name. The file must not exist; on Unix only its owner may read it.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_inputs(path: &Path, inputs: &[Input]) -> io::Result<()> {
    let bytes: Vec<Vec<u8>> =
        inputs.iter().map(|input| input.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = inputs.iter().zip(&bytes).map(|(input, bytes)| {
        let [depth, height, width] = input.shape;
        let view = TensorView::new(Dtype::F32, vec![1, depth, height, width], bytes);
        Ok((input.modality.name(), view.map_err(io::Error::other)?))
    });
    let views = views.collect::<io::Result<Vec<_>>>()?;
    let file = safetensors::serialize(views, None).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(&file)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn inputs_are_one_tensor_a_modality_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inputs.safetensors");
        let input = |modality, first: f32| Input {
            modality,
            shape: [1, 2, 3],
            values: (0..6).map(|i| first + i as f32).collect(),
        };
        write_inputs(&path, &[input(Modality::T1gd, 0.5), input(Modality::Flair, -3.0)]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = file.tensor("flair").unwrap();
        assert_eq!((file.len(), tensor.shape(), tensor.dtype()), (2, &[1, 1, 2, 3][..], Dtype::F32));
        assert_eq!(tensor.data()[..4], (-3.0f32).to_le_bytes());
        let again = write_inputs(&path, &[]).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
