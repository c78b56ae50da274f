//! A fully connected layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use consilium_domain::network::TensorKind;

use crate::parameters::{Reader, Writer};

/// `x W + b`.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[in, out]`: the transpose of what manifests and PyTorch store, because burn multiplies from the right.
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let stored = reader.take::<2>(TensorKind::LinearWeight);
        let device = stored.device();
        // In memory as an optimiser's step leaves it. Products with a transposed view round differently, and a training
        // that goes on after an epoch must give the bits of one that was not interrupted.
        let weight = Tensor::from_data(stored.transpose().into_data(), &device);
        Self { weight: Param::from_tensor(weight), bias: reader.take_trained(TensorKind::LinearBias) }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.put_learned(&self.weight, Tensor::transpose);
        writer.put_learned(&self.bias, |bias| bias);
    }

    /// Computes `[batch, in]` to `[batch, out]`.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        input.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}
