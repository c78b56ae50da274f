"""Reads safetensors files of 32-bit floats: 8 bytes of header length, a JSON header, raw little-endian values.

Not the `safetensors` package: PyTorch is the only thing this benchmark asks of the interpreter it is given.
"""

import json
import struct
from pathlib import Path

import torch


def read(path):
    """The tensors of the file at `path` by name."""
    data = bytearray(Path(path).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {name: _tensor(data, 8 + length, name, entry) for name, entry in header.items()}


def _tensor(data, start, name, entry):
    if entry["dtype"] != "F32":
        raise ValueError(f"tensor {name} is {entry['dtype']}, not F32")
    first, end = entry["data_offsets"]
    values = torch.frombuffer(data, dtype=torch.float32, offset=start + first, count=(end - first) // 4)
    # A copy, so that the file's bytes are not kept for as long as one of its tensors lives.
    return values.clone().reshape(entry["shape"])
