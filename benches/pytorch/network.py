"""The networks of `consilium_domain::network` in PyTorch: MedicalNet (arXiv:1904.00625), routed by SpotTune
(arXiv:1811.08737).

Modules are named so that the parameters have the manifest's names. What PyTorch offers to make a step fast or small
(in-place ReLU and addition, one `lerp` for the two paths, no gradients of frozen parameters) is used: a benchmark
against a slow peer says nothing.
"""

import torch
from torch import nn
from torch.nn import functional as F

STAGE_BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
BASIC_DEPTHS = (10, 18, 34)
ZERO_PAD_DEPTHS = (18, 34)
DILATIONS = (1, 1, 2, 4)
POLICY_DEPTH = 10


def convolution(inputs, outputs, side, stride=1, dilation=1):
    padding = dilation * (side // 2)
    return nn.Conv3d(inputs, outputs, side, stride, padding, dilation, bias=False)


class Block(nn.Module):
    """A residual block, basic (3-3) or bottleneck (1-3-1)."""

    def __init__(self, inputs, inner, outputs, stride, dilation, bottleneck, projects):
        super().__init__()
        self.stride, self.outputs = stride, outputs
        if bottleneck:
            convolutions = [
                convolution(inputs, inner, 1),
                convolution(inner, inner, 3, stride, dilation),
                convolution(inner, outputs, 1),
            ]
        else:
            convolutions = [
                convolution(inputs, inner, 3, stride, dilation),
                convolution(inner, outputs, 3, 1, dilation),
            ]
        self.layers = len(convolutions)
        for number, layer in enumerate(convolutions, 1):
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", nn.BatchNorm3d(layer.out_channels))
        self.downsample = None
        if projects:
            self.downsample = nn.Sequential(
                convolution(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs)
            )

    def forward(self, x):
        shortcut = self.shortcut(x)
        for number in range(1, self.layers + 1):
            x = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x))
            if number < self.layers:
                x = F.relu_(x)
        x += shortcut
        return F.relu_(x)

    def shortcut(self, x):
        if self.downsample is not None:
            return self.downsample(x)
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        missing = self.outputs - x.shape[1]
        return F.pad(x, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else x


class Backbone(nn.Module):
    """Stem and four stages, either of which can be left out."""

    def __init__(self, depth, width, stem=True, stages=True):
        super().__init__()
        bottleneck = depth not in BASIC_DEPTHS
        expansion = 4 if bottleneck else 1
        self.features = 8 * width * expansion
        if stem:
            self.conv1 = convolution(1, width, 7, stride=2)
            self.bn1 = nn.BatchNorm3d(width)
        inputs = width
        for stage, count in enumerate(STAGE_BLOCKS[depth] if stages else ()):
            inner = width << stage
            outputs = inner * expansion
            blocks = []
            for index in range(count):
                stride = 2 if stage == 1 and index == 0 else 1
                changes = stride != 1 or inputs != outputs
                projects = changes and depth not in ZERO_PAD_DEPTHS
                blocks.append(
                    Block(inputs, inner, outputs, stride, DILATIONS[stage], bottleneck, projects)
                )
                inputs = outputs
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def stem(self, x):
        return F.max_pool3d(F.relu_(self.bn1(self.conv1(x))), 3, 2, 1)

    def blocks(self):
        return [block for stage in range(1, 5) for block in getattr(self, f"layer{stage}")]

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks():
            x = block(x)
        return global_average(x)


class Policy(Backbone):
    """A small backbone and two logits for each block of the main network."""

    def __init__(self, width, blocks):
        super().__init__(POLICY_DEPTH, width)
        self.fc = nn.Linear(self.features, 2 * blocks)

    def forward(self, x):
        """How much the fine-tuned copy of each block is preferred, `[batch, blocks]`."""
        logits = self.fc(super().forward(x))
        # Autocast leaves bfloat16; decisions are taken in the parameters' own precision.
        pairs = logits.to(self.fc.weight.dtype).unflatten(1, (-1, 2))
        return pairs[..., 1] - pairs[..., 0]


class Network(nn.Module):
    """One of the arms `spottune`, `medicalnet` and `random`."""

    def __init__(self, depth, width, arm, norm):
        super().__init__()
        self.batch_statistics = norm == "batch"
        self.tuned = Backbone(depth, width, stem=arm == "random")
        blocks = len(self.tuned.blocks())
        self.frozen = None if arm == "random" else Backbone(depth, width, stages=arm == "spottune")
        self.policy = Policy(width, blocks) if arm == "spottune" else None
        self.head = nn.Linear(self.tuned.features, 1)
        if self.frozen is not None:
            self.frozen.requires_grad_(False)

    def load(self, base, trainable):
        """Takes the values of the manifest's tensors, all of them and no other."""
        own = {name: tensor for name, tensor in self.state_dict().items() if "num_batches" not in name}
        given = dict(trainable)
        frozen = [name for name in own if name.startswith("frozen.")]
        given.update((name, base[name.removeprefix("frozen.")]) for name in frozen)
        if odd := given.keys() ^ own.keys():
            raise ValueError(f"the network and the files differ in {sorted(odd)[:5]}")
        self.load_state_dict(given, strict=False)

    def train(self, mode=True):
        """Training mode as the study's normalisation has it; the frozen path always keeps its statistics."""
        super().train(mode and self.batch_statistics)
        if self.frozen is not None:
            self.frozen.eval()
        return self

    def forward(self, x, decide):
        """Logits `[batch]`. `decide` turns the policy's preferences into gates of 0 and 1."""
        stem = self.tuned if self.frozen is None else self.frozen
        if self.policy is None:
            x = stem.stem(x)
            for block in self.tuned.blocks():
                x = block(x)
        else:
            gates = decide(self.policy(x))
            x = stem.stem(x)
            for position, (tuned, frozen) in enumerate(zip(self.tuned.blocks(), self.frozen.blocks())):
                gate = gates[:, position].reshape(-1, 1, 1, 1, 1)
                kept, changed = frozen(x), tuned(x)
                x = torch.lerp(kept, changed, gate.to(changed.dtype))
        return self.head(global_average(x)).squeeze(1)


def global_average(x):
    return x.mean((2, 3, 4))


def straight_through(preferences, noise, temperature):
    """Gates of exactly 0 or 1 with the gradient of a sigmoid: straight-through Gumbel-softmax over two choices
    (arXiv:1611.01144). `noise` is the difference of two Gumbel variates."""
    noisy = preferences + noise
    hard = (noisy > 0).to(noisy.dtype)
    soft = torch.sigmoid(noisy / temperature)
    return hard + (soft - soft.detach())


def gumbel_differences(rows, blocks):
    """Random noise for `straight_through`."""
    tiny = 1e-20
    gumbel = -torch.log(-torch.log(torch.rand(rows, blocks, 2) + tiny) + tiny)
    return gumbel[..., 1] - gumbel[..., 0]


def preferred(preferences):
    """The gates of an evaluation: no noise."""
    return (preferences > 0).to(preferences.dtype)
