//! What flows between layers: feature maps, blocked for the processor's own kernels, planar for any other device.

use burn::backend::Dispatch;
use burn::tensor::activation::relu;
use burn::tensor::module::batch_norm_train;
use burn::tensor::{Gradients, Int, Tensor, TensorData};
use consilium_conv3d::{Arithmetic, blocks};

use crate::convolution::{Geometry, pad_channels, subsample};
use crate::kernels::{Convolution, Kernels, Residual};
use crate::mixed;
use crate::norm::EPSILON;
use crate::pooling;

/// Feature maps of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Features {
    /// `[batch, channels, depth, height, width]`.
    Planar(Tensor<5>, Method),
    /// For the processor's own kernels.
    Blocked(Blocked),
}

/// How planar maps are convolved.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    /// By burn's operation.
    Burn,
    /// By products of 16-bit floats.
    Mixed,
    /// By the processor's own kernels, which makes them blocked.
    Processor(Arithmetic),
}

/// Feature maps with sixteen channels of a voxel together.
#[derive(Debug, Clone)]
pub(crate) struct Blocked {
    /// `[batch, blocks, depth, height, width, 16]`, zero in the channels that fill up the last block.
    maps: Tensor<6>,
    channels: usize,
    arithmetic: Arithmetic,
}

/// What is done to the output of a layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finish {
    /// Added first.
    pub(crate) residual: Option<Features>,
    /// Then negative values become zero.
    pub(crate) relu: bool,
}

/// Feature maps normalised by their own moments, and these moments.
pub(crate) struct Normalised {
    pub(crate) features: Features,
    /// `[channels]`.
    pub(crate) mean: Tensor<1>,
    /// Biased, `[channels]`.
    pub(crate) variance: Tensor<1>,
}

impl Finish {
    /// A ReLU and nothing else.
    pub(crate) fn relu() -> Self {
        Self { residual: None, relu: true }
    }

    fn planar(self, maps: Tensor<5>, method: Method) -> Features {
        let maps = match self.residual {
            None => maps,
            Some(Features::Planar(residual, _)) => maps + residual,
            Some(Features::Blocked(_)) => unreachable!("{MIXED}"),
        };
        Features::Planar(if self.relu { relu(maps) } else { maps }, method)
    }

    fn blocked(self) -> (Residual<Dispatch>, bool) {
        let residual = match self.residual {
            None => Residual::None,
            Some(Features::Blocked(residual)) => Residual::Add(residual.maps.into_dispatch()),
            Some(Features::Planar(..)) => unreachable!("{MIXED}"),
        };
        (residual, self.relu)
    }
}

const MIXED: &str = "the maps of a network are all planar or all blocked";

impl Features {
    /// Convolves with `kernel` `[out, in, side, side, side]` and adds `bias` `[out]`.
    pub(crate) fn convolve(
        self,
        kernel: Tensor<5>,
        bias: Tensor<1>,
        geometry: Geometry,
        finish: Finish,
    ) -> Self {
        let (input, arithmetic, planar) = match self {
            Self::Planar(maps, Method::Processor(arithmetic)) => (maps.into_dispatch(), arithmetic, true),
            Self::Planar(maps, method) => {
                return finish.planar(method.convolve(maps, kernel, Some(bias), geometry), method);
            }
            Self::Blocked(input) => (input.maps.into_dispatch(), input.arithmetic, false),
        };
        let (how, channels) = (geometry.on_processor(arithmetic, planar), kernel.dims()[0]);
        let (residual, relu) = finish.blocked();
        let (kernel, bias) = (kernel.into_dispatch(), bias.into_dispatch());
        let maps = Dispatch::convolve(input, kernel, bias, residual, how, relu);
        Self::Blocked(Blocked { maps: Tensor::from_dispatch(maps), channels, arithmetic })
    }

    /// Convolves with `kernel` and normalises by the moments of the result.
    pub(crate) fn convolve_and_normalise(
        self,
        kernel: Tensor<5>,
        scale: Tensor<1>,
        shift: Tensor<1>,
        geometry: Geometry,
        finish: Finish,
    ) -> Normalised {
        let (input, arithmetic, planar) = match self {
            Self::Planar(maps, Method::Processor(arithmetic)) => (maps.into_dispatch(), arithmetic, true),
            Self::Planar(maps, method) => {
                let maps = method.convolve(maps, kernel, None, geometry);
                let found = batch_norm_train(maps, scale, shift, EPSILON);
                let features = finish.planar(found.output, method);
                return Normalised { features, mean: found.mean, variance: found.variance };
            }
            Self::Blocked(input) => (input.maps.into_dispatch(), input.arithmetic, false),
        };
        let (how, channels) = (geometry.on_processor(arithmetic, planar), kernel.dims()[0]);
        let (maps, mean, variance) = Dispatch::convolve_with_moments(input, kernel.into_dispatch(), how);
        let (residual, relu) = finish.blocked();
        let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
        let [own_mean, own_variance] = [mean.clone(), variance.clone()];
        let instructions = arithmetic.instructions;
        let epsilon = EPSILON as f32;
        let maps = Dispatch::normalise(
            maps,
            own_mean,
            own_variance,
            scale,
            shift,
            residual,
            instructions,
            epsilon,
            relu,
        );
        let features = Self::Blocked(Blocked { maps: Tensor::from_dispatch(maps), channels, arithmetic });
        let [mean, variance] = [mean, variance].map(Tensor::from_dispatch);
        Normalised { features, mean, variance }
    }

    /// Maximum over 3x3x3 voxels with stride 2 and padding 1.
    pub(crate) fn max_pool(self) -> Self {
        match self {
            Self::Planar(maps, method) => Self::Planar(pooling::max_pool(maps), method),
            Self::Blocked(Blocked { maps, channels, arithmetic }) => {
                let maps = Dispatch::max_pool(maps.into_dispatch(), arithmetic.instructions);
                Self::Blocked(Blocked { maps: Tensor::from_dispatch(maps), channels, arithmetic })
            }
        }
    }

    /// Mean over all voxels, `[batch, channels]`.
    pub(crate) fn average(self) -> Tensor<2> {
        match self {
            Self::Planar(maps, _) => pooling::global_average(maps),
            Self::Blocked(Blocked { maps, channels, arithmetic }) => {
                let maps = maps.into_dispatch();
                Tensor::from_dispatch(Dispatch::average(maps, channels, arithmetic.instructions))
            }
        }
    }

    /// Every `stride`-th voxel along each axis, with channels of zeros appended up to `channels`: the shortcut of
    /// type A.
    pub(crate) fn subsample(self, stride: usize, channels: usize) -> Self {
        match self {
            Self::Planar(maps, method) => {
                Self::Planar(pad_channels(subsample(maps, stride), channels), method)
            }
            Self::Blocked(Blocked { maps, arithmetic, .. }) => {
                let maps = Dispatch::subsample(maps.into_dispatch(), stride, blocks(channels));
                Self::Blocked(Blocked { maps: Tensor::from_dispatch(maps), channels, arithmetic })
            }
        }
    }

    /// `gates * tuned + (1 - gates) * frozen` with `gates` `[batch]`.
    pub(crate) fn route(tuned: Self, frozen: Self, gates: Tensor<1>) -> Self {
        match (tuned, frozen) {
            (Self::Planar(tuned, method), Self::Planar(frozen, _)) => {
                let gates = gates.reshape([-1, 1, 1, 1, 1]);
                let frozen = frozen * gates.clone().neg().add_scalar(1.0);
                Self::Planar(tuned * gates + frozen, method)
            }
            (Self::Blocked(tuned), Self::Blocked(frozen)) => {
                let Blocked { maps, channels, arithmetic } = tuned;
                let [tuned, frozen] = [maps, frozen.maps].map(Tensor::into_dispatch);
                let maps = Dispatch::route(tuned, frozen, gates.into_dispatch(), arithmetic.instructions);
                Self::Blocked(Blocked { maps: Tensor::from_dispatch(maps), channels, arithmetic })
            }
            _ => unreachable!("{MIXED}"),
        }
    }

    /// The volumes `rows` of the batch, in that order.
    pub(crate) fn select(self, rows: &[usize]) -> Self {
        fn chosen<const D: usize>(maps: Tensor<D>, rows: &[usize]) -> Tensor<D> {
            let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let indices = TensorData::new(indices, [rows.len()]);
            let device = maps.device();
            maps.select(0, Tensor::<1, Int>::from_data(indices, &device))
        }
        match self {
            Self::Planar(maps, method) => Self::Planar(chosen(maps, rows), method),
            Self::Blocked(Blocked { maps, channels, arithmetic }) => {
                Self::Blocked(Blocked { maps: chosen(maps, rows), channels, arithmetic })
            }
        }
    }

    /// The volumes of both, one batch after the other.
    pub(crate) fn append(self, other: Self) -> Self {
        match (self, other) {
            (Self::Planar(maps, method), Self::Planar(others, _)) => {
                Self::Planar(Tensor::cat(vec![maps, others], 0), method)
            }
            (Self::Blocked(Blocked { maps, channels, arithmetic }), Self::Blocked(others)) => {
                Self::Blocked(Blocked { maps: Tensor::cat(vec![maps, others.maps], 0), channels, arithmetic })
            }
            _ => unreachable!("{MIXED}"),
        }
    }

    /// Number of volumes.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Planar(maps, _) => maps.dims()[0],
            Self::Blocked(blocked) => blocked.maps.dims()[0],
        }
    }

    /// The same values, not recorded.
    pub(crate) fn inner(self) -> Self {
        match self {
            Self::Planar(maps, method) => Self::Planar(maps.inner(), method),
            Self::Blocked(blocked) => Self::Blocked(Blocked { maps: blocked.maps.inner(), ..blocked }),
        }
    }

    /// Values that are not recorded as the start of a derivative.
    pub(crate) fn into_leaf(self) -> Self {
        match self {
            Self::Planar(maps, method) => Self::Planar(Tensor::from_inner(maps).require_grad(), method),
            Self::Blocked(blocked) => {
                let maps = Tensor::from_inner(blocked.maps).require_grad();
                Self::Blocked(Blocked { maps, ..blocked })
            }
        }
    }

    /// The gradient of a leaf, not recorded.
    pub(crate) fn slope(&self, gradients: &Gradients) -> Self {
        const MISSING: &str = "the loss depends on every leaf";
        match self {
            Self::Planar(maps, method) => Self::Planar(maps.grad(gradients).expect(MISSING), *method),
            Self::Blocked(blocked) => {
                let maps = blocked.maps.grad(gradients).expect(MISSING);
                Self::Blocked(Blocked { maps, ..*blocked })
            }
        }
    }

    /// Goes on with the backward pass of a loss from its gradient with respect to these values.
    pub(crate) fn backward(self, slope: Self) -> Gradients {
        match (self, slope) {
            (Self::Planar(maps, _), Self::Planar(slope, _)) => {
                (maps * Tensor::from_inner(slope)).sum().backward()
            }
            (Self::Blocked(blocked), Self::Blocked(slope)) => {
                (blocked.maps * Tensor::from_inner(slope.maps)).sum().backward()
            }
            _ => unreachable!("{MIXED}"),
        }
    }

    /// As `[batch, channels, depth, height, width]`.
    #[cfg(test)]
    pub(crate) fn into_planar(self) -> Tensor<5> {
        match self {
            Self::Planar(maps, _) => maps,
            Self::Blocked(Blocked { maps, channels, .. }) => {
                let [batch, blocks, depth, height, width, _] = maps.dims();
                let maps = maps.permute([0, 1, 5, 2, 3, 4]);
                maps.reshape([batch, blocks * consilium_conv3d::CHANNELS, depth, height, width])
                    .narrow(1, 0, channels)
            }
        }
    }
}

impl Method {
    /// For devices without kernels of ours.
    fn convolve(
        self,
        maps: Tensor<5>,
        kernel: Tensor<5>,
        bias: Option<Tensor<1>>,
        geometry: Geometry,
    ) -> Tensor<5> {
        if matches!(self, Self::Burn) {
            return geometry.convolve(maps, kernel, bias);
        }
        let maps = mixed::convolve(maps, kernel, geometry);
        match bias {
            Some(bias) => maps + bias.reshape([1, -1, 1, 1, 1]),
            None => maps,
        }
    }
}

impl Geometry {
    fn on_processor(self, arithmetic: Arithmetic, planar: bool) -> Convolution {
        let Self { side, stride, dilation } = self;
        let geometry = consilium_conv3d::Geometry::same(side, stride, dilation);
        Convolution { arithmetic, geometry, planar }
    }
}
