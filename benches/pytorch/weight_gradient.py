"""Times PyTorch's weight gradient of MedicalNet's dilated layers, for comparison with ours.

    python benches/pytorch/weight_gradient.py [threads]
    cargo run --release -p consilium-conv3d --example layer_table 3^3

Batch 2, maps of 8x8x8, 32-bit floats; the faster of both memory layouts, the fastest of many runs.
"""

import sys
import time

import torch
from torch.nn.grad import conv3d_weight

LAYERS = [("layer3 3^3 256-256", 256, 2), ("layer4 3^3 512-512", 512, 4)]
RUNS = 30


def fastest(layer, layout):
    _, channels, dilation = layer
    maps = torch.randn(2, channels, 8, 8, 8).contiguous(memory_format=layout)
    slope = torch.randn(2, channels, 8, 8, 8).contiguous(memory_format=layout)
    shape = (channels, channels, 3, 3, 3)
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        conv3d_weight(maps, shape, slope, padding=dilation, dilation=dilation)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for layer in LAYERS:
        best = min(fastest(layer, layout) for layout in (torch.contiguous_format, torch.channels_last_3d))
        print(f"{layer[0]}: {best * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
