//! A convolution with its batch-norm: trained, or folded into one convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use consilium_domain::NormMode;
use consilium_domain::network::TensorKind;

use crate::convolution::Geometry;
use crate::features::{Features, Finish};
use crate::norm::{Affine, Norm};
use crate::parameters::{Reader, Writer};

/// What residual blocks are made of.
pub(crate) trait Layer {
    /// Convolves, normalises and finishes `input`.
    fn forward(&self, input: Features, finish: Finish) -> Features;
}

/// A layer whose kernel, scale and shift are learned.
#[derive(Module, Debug)]
pub(crate) struct Trained {
    kernel: Param<Tensor<5>>,
    norm: Norm,
    #[module(skip)]
    geometry: Geometry,
}

/// A layer that is not learned: the normalisation is multiplied into the kernel.
///
/// It holds no parameter, so no optimiser can reach it, no gradient of its kernel is computed and no statistic
/// exists that could drift. Gradients still pass through to its input.
#[derive(Module, Debug)]
pub(crate) struct Folded {
    kernel: Tensor<5>,
    bias: Tensor<1>,
    #[module(skip)]
    geometry: Geometry,
}

impl Layer for Trained {
    fn forward(&self, input: Features, finish: Finish) -> Features {
        self.norm.forward(input, self.kernel.val(), self.geometry, finish)
    }
}

impl Layer for Folded {
    fn forward(&self, input: Features, finish: Finish) -> Features {
        input.convolve(self.kernel.clone(), self.bias.clone(), self.geometry, finish)
    }
}

impl Trained {
    pub(crate) fn read(reader: &mut Reader<'_>, geometry: Geometry, mode: NormMode) -> Self {
        let kernel = reader.take_trained(TensorKind::ConvKernel);
        Self { kernel, norm: Norm::read(reader, mode), geometry }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.put_learned(&self.kernel, |kernel| kernel);
        self.norm.write(writer);
    }

    /// The same layer, the running statistics of which are not those of this one.
    pub(crate) fn with_own_statistics(&self) -> Self {
        Self { kernel: self.kernel.clone(), norm: self.norm.with_own_statistics(), geometry: self.geometry }
    }

    /// The same layer with the stored statistics, for prediction.
    pub(crate) fn fold(&self) -> Folded {
        let Affine { factor, summand } = self.norm.affine();
        let normalisation = Affine { factor: factor.inner(), summand: summand.inner() };
        Folded::new(self.kernel.val().inner(), normalisation, self.geometry)
    }
}

impl Folded {
    pub(crate) fn read(reader: &mut Reader<'_>, geometry: Geometry) -> Self {
        let kernel = reader.take(TensorKind::ConvKernel);
        Self::new(kernel, Affine::read(reader), geometry)
    }

    fn new(kernel: Tensor<5>, normalisation: Affine, geometry: Geometry) -> Self {
        let (kernel, bias) = normalisation.fold(kernel);
        Self { kernel, bias, geometry }
    }

    /// The same layer for tensors that are only computed forward.
    pub(crate) fn unrecorded(&self) -> Self {
        Self { kernel: self.kernel.clone().inner(), bias: self.bias.clone().inner(), geometry: self.geometry }
    }
}
