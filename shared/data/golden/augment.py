"""Rotation, smoothed noise and their combination in SciPy, for src/augment/golden_tests.rs.

Writes augment.json beside this file. Run from the repository's root:
    python -m venv /tmp/golden && /tmp/golden/bin/pip install numpy==2.4.6 scipy==1.17.1
    /tmp/golden/bin/python shared/data/golden/augment.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

HERE = Path(__file__).resolve().parent
SHAPE = (14, 17, 20)
AXIS = [0.3, -0.8, 0.5]
DEGREES = 23.0
SIGMA = 5
REACH = 4


def formula(shape):
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return ((7 * z + 13 * y + 29 * x + z * y * x) % 101).astype(np.float64)


def rotation():
    axis = np.array(AXIS)
    return Rotation.from_rotvec(np.radians(DEGREES) * axis / np.linalg.norm(axis)).as_matrix()


def field():
    """Noise on every fifth voxel and 0 between, smoothed voxel by voxel: (component, z, y, x)."""
    points = [(n - 1) // SIGMA + 2 * REACH + 1 for n in SHAPE]
    k, z, y, x = np.meshgrid(np.arange(3), *map(np.arange, points), indexing="ij")
    noise = ((37 * k + 11 * z + 17 * y + 23 * x + z * y * x + k * x * y) % 19 - 9) / 9
    fine = np.zeros((3, *((p - 1) * SIGMA + 1 for p in points)))
    fine[:, ::SIGMA, ::SIGMA, ::SIGMA] = noise
    smooth = np.stack([gaussian_filter(f, SIGMA, truncate=REACH, mode="constant") for f in fine])
    # SciPy's weights sum to 1 over the voxels; ours have squares that sum to 1 over the lattice: the integral of
    # the squared Gaussian in units of sigma is the root of pi.
    offsets = np.arange(-REACH * SIGMA, REACH * SIGMA + 1)
    peak = np.exp(-0.5 * (offsets / SIGMA) ** 2).sum()
    smooth *= (peak / np.pi**0.25) ** 3
    start = REACH * SIGMA
    return smooth[:, *(slice(start, start + n) for n in SHAPE)]


def main():
    image, turn, moved = formula(SHAPE), rotation(), field()
    middle = (np.array(SHAPE) - 1) / 2
    turned = affine_transform(image, turn, offset=middle - turn @ middle, order=1, mode="grid-constant")
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")) - middle[:, None, None, None]
    places = np.einsum("ij,jzyx->izyx", turn, grid) + middle[:, None, None, None] + moved
    warped = map_coordinates(image, places, order=1, mode="grid-constant")
    stride = 37
    sample = lambda values: np.asarray(values).ravel()[::stride].round(6).tolist()
    golden = {
        "made_by": f"numpy {np.__version__}, scipy {scipy.__version__}",
        "shape": SHAPE,
        "axis": AXIS,
        "degrees": DEGREES,
        "sigma": SIGMA,
        "stride": stride,
        "rotation": turn.tolist(),
        "turned": sample(turned),
        "field": [sample(component) for component in moved],
        "warped": sample(warped),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    (HERE / "augment.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
