//! The tensors of MedicalNet and SpotTune: names, shapes and first values, without a machine-learning framework.
//!
//! The coordinator verifies, initialises and averages weights by this manifest; `shared/model` builds the network
//! that computes with them. Names and layouts are those of the PyTorch state dict of Tencent/MedicalNet
//! (arXiv:1904.00625), without the `module.` prefix and without the `num_batches_tracked` counters.

mod backbone;
mod initial;
mod state;
mod tuning;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use initial::initial_values;
pub use state::{POLICY_PREFIX, TUNED_PREFIX};
pub use tuning::{StemMode, Transfer, Tuning};

/// Depth of a 3D ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the number is the depth")]
pub enum Depth {
    D10,
    D18,
    D34,
    D50,
    D101,
    D152,
    D200,
}

impl Depth {
    /// Every depth MedicalNet was released in.
    pub const ALL: [Self; 7] =
        [Self::D10, Self::D18, Self::D34, Self::D50, Self::D101, Self::D152, Self::D200];

    /// The number of weighted layers.
    pub const fn layers(self) -> u16 {
        match self {
            Self::D10 => 10,
            Self::D18 => 18,
            Self::D34 => 34,
            Self::D50 => 50,
            Self::D101 => 101,
            Self::D152 => 152,
            Self::D200 => 200,
        }
    }

    /// The depth with that many layers.
    pub fn from_layers(layers: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.layers() == layers)
    }

    /// Residual blocks in each of the four stages.
    pub const fn stage_blocks(self) -> [usize; 4] {
        match self {
            Self::D10 => [1, 1, 1, 1],
            Self::D18 => [2, 2, 2, 2],
            Self::D34 | Self::D50 => [3, 4, 6, 3],
            Self::D101 => [3, 4, 23, 3],
            Self::D152 => [3, 8, 36, 3],
            Self::D200 => [3, 24, 36, 3],
        }
    }

    /// Whether blocks are bottlenecks (1-3-1, expansion 4) rather than basic (3-3).
    pub const fn is_bottleneck(self) -> bool {
        !matches!(self, Self::D10 | Self::D18 | Self::D34)
    }

    /// Whether a shortcut that changes shape is a convolution (type B) rather than zero-padding (type A).
    pub const fn has_projection_shortcut(self) -> bool {
        !matches!(self, Self::D18 | Self::D34)
    }
}

impl Serialize for Depth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.layers().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let layers = u16::deserialize(deserializer)?;
        Self::from_layers(layers).ok_or_else(|| {
            serde::de::Error::custom(format!("depth {layers} is none of 10, 18, 34, 50, 101, 152, 200"))
        })
    }
}

/// A MedicalNet backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Number of weighted layers.
    pub depth: Depth,
    /// Channels of the first stage; MedicalNet has 64. Smaller networks serve demonstrations and tests.
    pub width: u16,
}

/// One residual block of the backbone, as both the manifest and the network build it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSpec {
    /// Stage, 1 to 4.
    pub stage: usize,
    /// Position in the stage, from 0.
    pub index: usize,
    /// Channels that come in.
    pub in_channels: usize,
    /// Channels of the inner convolutions.
    pub inner_channels: usize,
    /// Channels that go out.
    pub out_channels: usize,
    /// Stride of the block's spatial convolution.
    pub stride: usize,
    /// Dilation (and padding) of the block's 3x3x3 convolutions.
    pub dilation: usize,
    /// 1-3-1 rather than 3-3.
    pub bottleneck: bool,
    /// What the identity becomes where its shape does not fit.
    pub shortcut: Shortcut,
}

/// The shortcut of a residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// The input itself.
    Identity,
    /// Type A: every `stride`-th voxel, channels padded with zeros. No parameters.
    ZeroPad,
    /// Type B: a 1x1x1 convolution with the stride, and batch-norm.
    Projection,
}

/// What a tensor is for; decides its first values and how it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorKind {
    /// Kernel of a 3D convolution, `[out, in, depth, height, width]`.
    ConvKernel,
    /// Scale of a batch-norm, `[channels]`.
    NormScale,
    /// Shift of a batch-norm, `[channels]`.
    NormShift,
    /// Running mean of a batch-norm, `[channels]`.
    NormMean,
    /// Running (biased) variance of a batch-norm, `[channels]`.
    NormVariance,
    /// Weight of a linear layer, `[out, in]`.
    LinearWeight,
    /// Bias of a linear layer, `[out]`.
    LinearBias,
}

impl TensorKind {
    /// Whether an optimiser changes it (statistics follow the data instead).
    pub const fn is_parameter(self) -> bool {
        !matches!(self, Self::NormMean | Self::NormVariance)
    }
}

/// A named tensor of 32-bit floats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in files and on the wire.
    pub name: String,
    /// Its extents, slowest first.
    pub shape: Vec<usize>,
    /// What it is for.
    pub kind: TensorKind,
}

impl TensorSpec {
    /// Number of values.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }
}
