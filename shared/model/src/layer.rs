//! A convolution with its batch-norm: trained, or folded into one convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use consilium_domain::NormMode;
use consilium_domain::network::TensorKind;

use crate::convolution::Geometry;
use crate::norm::{Affine, Norm};
use crate::parameters::{Reader, Writer};

/// What residual blocks are made of.
pub(crate) trait Layer {
    /// Convolves and normalises `input` `[batch, in, depth, height, width]`.
    fn forward(&self, input: Tensor<5>) -> Tensor<5> {
        self.apply(|kernel, bias| self.geometry().convolve(input, kernel, bias))
    }

    /// Normalises what `convolve` makes of the layer's kernel and bias.
    fn apply(&self, convolve: impl FnOnce(Tensor<5>, Option<Tensor<1>>) -> Tensor<5>) -> Tensor<5>;

    /// How the layer convolves.
    fn geometry(&self) -> Geometry;
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
    fn apply(&self, convolve: impl FnOnce(Tensor<5>, Option<Tensor<1>>) -> Tensor<5>) -> Tensor<5> {
        self.norm.forward(convolve(self.kernel.val(), None))
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }
}

impl Layer for Folded {
    fn apply(&self, convolve: impl FnOnce(Tensor<5>, Option<Tensor<1>>) -> Tensor<5>) -> Tensor<5> {
        convolve(self.kernel.clone(), Some(self.bias.clone()))
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }
}

impl Trained {
    pub(crate) fn read(reader: &mut Reader<'_>, geometry: Geometry, mode: NormMode) -> Self {
        let kernel = reader.take_trained(TensorKind::ConvKernel);
        Self { kernel, norm: Norm::read(reader, mode), geometry }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.put(self.kernel.val());
        self.norm.write(writer);
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
        let out = kernel.dims()[0];
        let kernel = kernel * normalisation.factor.reshape([out, 1, 1, 1, 1]);
        Self { kernel, bias: normalisation.summand, geometry }
    }

    /// The same layer for tensors that are only computed forward.
    pub(crate) fn unrecorded(&self) -> Self {
        Self { kernel: self.kernel.clone().inner(), bias: self.bias.clone().inner(), geometry: self.geometry }
    }
}
