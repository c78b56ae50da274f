//! The backbone: stem and four stages of residual blocks.

use super::{BlockSpec, Depth, NetworkSpec, Shortcut, TensorKind, TensorSpec};

const DILATIONS: [usize; 4] = [1, 1, 2, 4];

impl NetworkSpec {
    /// Widest first stage that is accepted: twice MedicalNet's.
    pub const MAX_WIDTH: u16 = 128;

    /// The policy network's backbone (arXiv:2310.12373): the 10-layer network of the same width.
    pub const fn policy_backbone(self) -> Self {
        Self { depth: Depth::D10, width: self.width }
    }

    /// Channels of the features that reach the classifier.
    pub const fn features(self) -> usize {
        8 * self.width as usize * if self.depth.is_bottleneck() { 4 } else { 1 }
    }

    /// The residual blocks in the order they run.
    pub fn blocks(self) -> Vec<BlockSpec> {
        let width = usize::from(self.width);
        let bottleneck = self.depth.is_bottleneck();
        let expansion = if bottleneck { 4 } else { 1 };
        let mut in_channels = width;
        let mut blocks = Vec::new();
        for (stage, count) in self.depth.stage_blocks().into_iter().enumerate() {
            let inner_channels = width << stage;
            let out_channels = inner_channels * expansion;
            for index in 0..count {
                let stride = if stage == 1 && index == 0 { 2 } else { 1 };
                let shortcut = match (stride != 1 || in_channels != out_channels, self.depth) {
                    (false, _) => Shortcut::Identity,
                    (true, depth) if depth.has_projection_shortcut() => Shortcut::Projection,
                    (true, _) => Shortcut::ZeroPad,
                };
                let stage_number = stage + 1;
                let dilation = DILATIONS[stage];
                blocks.push(BlockSpec {
                    stage: stage_number,
                    index,
                    in_channels,
                    inner_channels,
                    out_channels,
                    stride,
                    dilation,
                    bottleneck,
                    shortcut,
                });
                in_channels = out_channels;
            }
        }
        blocks
    }

    /// Every tensor of the pretrained backbone, in the order of its state dict.
    pub fn backbone_tensors(self) -> Vec<TensorSpec> {
        let mut tensors = self.stem_tensors();
        tensors.extend(self.blocks().iter().flat_map(BlockSpec::tensors));
        tensors
    }

    /// The tensors before the first residual block.
    pub fn stem_tensors(self) -> Vec<TensorSpec> {
        let width = usize::from(self.width);
        let mut tensors = vec![conv("conv1", width, 1, 7)];
        tensors.extend(norm("bn1", width));
        tensors
    }
}

impl BlockSpec {
    /// The block's name, for instance `layer3.5`.
    pub fn name(&self) -> String {
        format!("layer{}.{}", self.stage, self.index)
    }

    /// The block's tensors, named with its prefix.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let at = self.name();
        let (input, inner, output) = (self.in_channels, self.inner_channels, self.out_channels);
        let convolutions: &[(usize, usize, usize)] = if self.bottleneck {
            &[(inner, input, 1), (inner, inner, 3), (output, inner, 1)]
        } else {
            &[(inner, input, 3), (output, inner, 3)]
        };
        let mut tensors = Vec::new();
        for (number, &(out, into, side)) in (1..).zip(convolutions) {
            tensors.push(conv(&format!("{at}.conv{number}"), out, into, side));
            tensors.extend(norm(&format!("{at}.bn{number}"), out));
        }
        if self.shortcut == Shortcut::Projection {
            tensors.push(conv(&format!("{at}.downsample.0"), output, input, 1));
            tensors.extend(norm(&format!("{at}.downsample.1"), output));
        }
        tensors
    }
}

fn conv(name: &str, out: usize, into: usize, side: usize) -> TensorSpec {
    let shape = vec![out, into, side, side, side];
    TensorSpec { name: format!("{name}.weight"), shape, kind: TensorKind::ConvKernel }
}

fn norm(name: &str, channels: usize) -> [TensorSpec; 4] {
    [
        ("weight", TensorKind::NormScale),
        ("bias", TensorKind::NormShift),
        ("running_mean", TensorKind::NormMean),
        ("running_var", TensorKind::NormVariance),
    ]
    .map(|(field, kind)| TensorSpec { name: format!("{name}.{field}"), shape: vec![channels], kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tensors (with statistics and counters) and parameters of the released networks.
    #[test]
    fn counts_equal_the_released_networks() {
        let expected = [
            (Depth::D10, 72, 14_355_520),
            (Depth::D18, 102, 32_986_176),
            (Depth::D34, 198, 63_295_808),
            (Depth::D50, 318, 46_155_072),
            (Depth::D101, 624, 85_201_216),
            (Depth::D152, 930, 117_359_936),
            (Depth::D200, 1218, 126_559_552),
        ];
        for (depth, tensors, parameters) in expected {
            let manifest = NetworkSpec { depth, width: 64 }.backbone_tensors();
            let counters = manifest.iter().filter(|t| t.kind == TensorKind::NormMean).count();
            assert_eq!(manifest.len() + counters, tensors, "{depth:?}");
            let learned: usize =
                manifest.iter().filter(|t| t.kind.is_parameter()).map(TensorSpec::values).sum();
            assert_eq!(learned, parameters, "{depth:?}");
        }
    }

    #[test]
    fn dilation_is_in_every_block_of_the_last_stages_and_stride_only_in_layer2() {
        for block in (NetworkSpec { depth: Depth::D50, width: 64 }).blocks() {
            assert_eq!(block.dilation, [1, 1, 2, 4][block.stage - 1]);
            assert_eq!(block.stride == 2, block.stage == 2 && block.index == 0);
        }
    }
}
