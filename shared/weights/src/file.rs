//! Weights as safetensors bytes. The file is a pure function of names, shapes and values: equal weights have
//! equal digests.

use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use safetensors::tensor::{Dtype, SafeTensors};

use crate::{FileLayout, Weights, WeightsError};

/// Names listed in an error before the rest is left out: enough to see the pattern, short enough to read.
const LISTED_NAMES: usize = 20;

impl Weights {
    /// Reads weights and checks that they are exactly those of `manifest`.
    ///
    /// # Errors
    /// When the bytes are no safetensors file, a tensor is missing, unexpected, misshapen, or a value is not finite.
    pub fn from_safetensors(bytes: &[u8], manifest: Arc<[TensorSpec]>) -> Result<Self, WeightsError> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|error| WeightsError::Format(error.to_string()))?;
        check_names(&file, &manifest)?;
        let mut values = Vec::with_capacity(manifest.iter().map(TensorSpec::values).sum());
        for tensor in manifest.iter() {
            let view = file.tensor(&tensor.name).map_err(|error| WeightsError::Format(error.to_string()))?;
            if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
                return Err(WeightsError::Shape {
                    name: tensor.name.clone(),
                    found: format!("{:?} {:?}", view.dtype(), view.shape()),
                    expected: tensor.shape.clone(),
                });
            }
            let (words, _) = view.data().as_chunks::<4>();
            values.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        }
        Self::new(manifest, values)
    }

    /// The safetensors file of these weights.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let bytes = FileLayout::of(self.manifest().clone()).bytes();
        let mut file = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        self.write(&mut file).expect("memory takes everything");
        file
    }
}

fn check_names(file: &SafeTensors<'_>, manifest: &[TensorSpec]) -> Result<(), WeightsError> {
    let mut names = file.names();
    names.sort_unstable();
    let missing = manifest.iter().map(|t| t.name.as_str()).filter(|name| names.binary_search(name).is_err());
    let missing: Vec<String> = missing.take(LISTED_NAMES).map(str::to_owned).collect();
    let mut known: Vec<&str> = manifest.iter().map(|t| t.name.as_str()).collect();
    known.sort_unstable();
    let unexpected = names.iter().filter(|name| known.binary_search(name).is_err());
    let unexpected: Vec<String> = unexpected.take(LISTED_NAMES).map(|name| (*name).to_owned()).collect();
    if missing.is_empty() && unexpected.is_empty() {
        Ok(())
    } else {
        Err(WeightsError::Names { missing, unexpected })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use consilium_domain::network::{Depth, NetworkSpec, TensorKind, Tuning};
    use consilium_domain::{Arm, Seed};
    use safetensors::tensor::View;

    use super::*;
    use crate::initial_trainable;

    fn random_arm() -> Weights {
        let spec = NetworkSpec { depth: Depth::D10, width: 2 };
        initial_trainable(spec, Arm::Random, Tuning::default(), &Seed::from_number(1), None).unwrap()
    }

    /// A tensor as the library wants it.
    struct Floats<'w> {
        tensor: &'w TensorSpec,
        values: &'w [f32],
    }

    impl View for Floats<'_> {
        fn dtype(&self) -> Dtype {
            Dtype::F32
        }

        fn shape(&self) -> &[usize] {
            &self.tensor.shape
        }

        fn data(&self) -> Cow<'_, [u8]> {
            Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }

        fn data_len(&self) -> usize {
            size_of_val(self.values)
        }
    }

    #[test]
    fn the_file_is_the_one_that_the_library_writes() {
        let weights = random_arm();
        let views = weights.iter().map(|(tensor, values)| (tensor.name.as_str(), Floats { tensor, values }));
        assert!(weights.to_safetensors() == safetensors::serialize(views, None).unwrap());
    }

    #[test]
    fn weights_survive_the_file_and_equal_weights_have_equal_files() {
        let weights = random_arm();
        let file = weights.to_safetensors();
        assert_eq!(Weights::from_safetensors(&file, weights.manifest().clone()).unwrap(), weights);
        assert_eq!(random_arm().to_safetensors(), file);
    }

    #[test]
    fn another_networks_file_is_refused_with_the_names() {
        let file = random_arm().to_safetensors();
        let spec = NetworkSpec { depth: Depth::D18, width: 2 };
        let manifest = spec.trainable_tensors(Arm::Random, Tuning::default()).into();
        let error = Weights::from_safetensors(&file, manifest).unwrap_err();
        assert!(
            matches!(&error, WeightsError::Names { missing, .. } if missing[0] == "tuned.layer1.1.conv1.weight")
        );
    }

    #[test]
    fn wrong_width_truncation_and_nan_are_refused() {
        let weights = random_arm();
        let file = weights.to_safetensors();
        let wide: Arc<[TensorSpec]> = NetworkSpec { depth: Depth::D10, width: 4 }
            .trainable_tensors(Arm::Random, Tuning::default())
            .into();
        assert!(matches!(Weights::from_safetensors(&file, wide), Err(WeightsError::Shape { .. })));
        let cut = &file[..file.len() - 1];
        assert!(matches!(
            Weights::from_safetensors(cut, weights.manifest().clone()),
            Err(WeightsError::Format(_))
        ));
        let one: Arc<[TensorSpec]> =
            vec![TensorSpec { name: "x".into(), shape: vec![1], kind: TensorKind::LinearBias }].into();
        assert!(matches!(Weights::new(one, vec![f32::NAN]), Err(WeightsError::NotFinite { .. })));
    }
}
