"""Golden values for turning and resampling images, by nibabel and scipy.

    python3 -m venv venv && venv/bin/pip install nibabel==5.4.2 numpy==2.4.6 scipy==1.17.1
    venv/bin/python shared/data/golden/volume_golden.py [FOLDER OF brats2013_cc_by_nc_sa]

Writes, beside itself:
- volume_synthetic.json: every value, for images of a formula that the Rust test repeats;
- volume_real.json: summary numbers only, for real images (which stay where they are).

The Rust side is shared/data/tests/nifti_reading/golden.rs. Shapes and affines are in (x, y, z) order; flat
lists of values have x fastest.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations, processing
from scipy import ndimage

HERE = Path(__file__).parent
# Places this close to a tie between two voxels may fall to either side by rounding: never used.
TIE_MARGIN = 1e-9
# The Rust side takes places this close to a voxel's centre for the centre, so that rounding does not push the
# border outside: places this close to the border, but off it, are never used.
BORDER_MARGIN = 1e-6


def rounded(values):
    return [round(float(value), 6) or 0 for value in np.ravel(values, order="F")]


def synthetic(shape):
    """The formula of golden.rs."""
    x, y, z = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return ((7 * x + 13 * y + 29 * z + x * y * (z + 1)) % 97 - 20).astype(np.float64)


def rotation(ax, ay, az):
    cx, cy, cz = np.cos([ax, ay, az])
    sx, sy, sz = np.sin([ax, ay, az])
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx


def affine(matrix, shift):
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = matrix, shift
    return result


def centred(matrix, shape, centre):
    """An affine that puts the middle of the image at `centre`."""
    middle = (np.array(shape) - 1) / 2
    return affine(matrix, np.array(centre) - matrix @ middle)


def check_margins(image, shape, grid):
    """No place of the grid is near a tie of nearest, or near (but off) the image's border."""
    to_voxel = np.linalg.inv(image.affine) @ grid
    for axis in range(3):
        x, y, z = [np.arange(n, dtype=float) for n in shape]
        row = to_voxel[axis]
        place = row[0] * x[:, None, None] + row[1] * y[None, :, None] + row[2] * z[None, None, :] + row[3]
        near_tie = np.abs(np.abs(place - np.floor(place)) - 0.5) < TIE_MARGIN
        assert not near_tie.any(), ("tie", axis)
        for border in (0, image.shape[axis] - 1):
            distance = np.abs(place - border)
            assert not ((distance < BORDER_MARGIN) & (distance > 0)).any(), ("border", axis)


def resampled(image, shape, grid, order):
    check_margins(image, shape, grid)
    result = processing.resample_from_to(image, (shape, grid), order=order, mode="constant", cval=0.0)
    # nibabel's call is scipy's; kept to show which.
    to_voxel = np.linalg.inv(image.affine) @ grid
    direct = ndimage.affine_transform(
        np.asanyarray(image.dataobj), to_voxel[:3, :3], to_voxel[:3, 3], shape, order=order, mode="constant"
    )
    assert np.array_equal(np.asanyarray(result.dataobj), direct)
    return direct


def turned(image, letters):
    """The image with its axes towards `letters`, as nibabel turns them."""
    transform = orientations.ornt_transform(
        orientations.io_orientation(image.affine), orientations.axcodes2ornt(letters)
    )
    return image.as_reoriented(transform)


def write(name, content):
    text = json.dumps(content, separators=(",", ":")).replace('},{', '},\n{')
    (HERE / name).write_text(text + "\n")


def synthetic_cases():
    oblique = rotation(0.21, -0.34, 0.4)
    sources = {
        "flipped": ((7, 6, 5), affine(np.diag([-1.5, -2.0, 3.0]), [5.25, 6.5, -7.75])),
        "anisotropic": ((9, 8, 4), affine(np.diag([0.75, 1.25, 4.5]), [-3.0, -4.1, -6.3])),
        "oblique": ((8, 7, 6), centred(oblique @ np.diag([1.1, 0.9, 2.2]), (8, 7, 6), [0.3, -0.2, 0.1])),
        "sagittal": (
            (6, 7, 5),
            centred(np.array([[0, 0, -2.1], [1.3, 0, 0], [0, -1.7, 0]]), (6, 7, 5), [1.0, 2.0, -1.0]),
        ),
        "sheared": (
            (7, 7, 6),
            centred(np.array([[1.2, 0.1, 0], [0, 1.4, 0.5], [0, 0, 1.9]]), (7, 7, 6), [0, 0, 0.5]),
        ),
        "steep": ((6, 6, 6), centred(rotation(0.7, 0.6, 1.2) @ np.diag([1, 2, 1.5]), (6, 6, 6), [0, 0, 0])),
    }
    grids = {
        "straight": ((7, 6, 5), centred(np.diag([1.31, 1.73, 2.17]), (7, 6, 5), [0.17, 0.39, -0.53])),
        "turned": (
            (6, 5, 7),
            centred(rotation(-0.3, 0.5, 0.23) @ np.diag([-1.9, 1.37, 1.61]), (6, 5, 7), [0.4, -0.6, 0.2]),
        ),
    }
    others = ["LPS", "PIR", "SRA", "ILA", "AIL", "RSP"]
    for (name, (shape, matrix)), other in zip(sources.items(), others):
        image = nib.Nifti1Image(synthetic(shape), matrix)
        case = {
            "name": name,
            "shape": shape,
            "affine": matrix[:3].tolist(),
            "letters": "".join(nib.aff2axcodes(matrix)),
            "turned": [],
            "resampled": [],
        }
        for letters in ("RAS", other):
            image2 = nib.as_closest_canonical(image) if letters == "RAS" else turned(image, letters)
            case["turned"].append(
                {
                    "letters": letters,
                    "shape": image2.shape,
                    "affine": image2.affine[:3].tolist(),
                    "values": [int(v) for v in np.ravel(image2.get_fdata(), order="F")],
                }
            )
        for grid_shape, grid in grids.values():
            case["resampled"].append(
                {
                    "shape": grid_shape,
                    "affine": grid[:3].tolist(),
                    "trilinear": rounded(resampled(image, grid_shape, grid, 1)),
                    "nearest": [int(v) for v in np.ravel(resampled(image, grid_shape, grid, 0), order="F")],
                }
            )
        yield case


def summary(values):
    """Numbers from which no voxel can be told: sums over the whole image."""
    data = np.asarray(values, dtype=np.float64)
    axes = [np.arange(n, dtype=float) for n in data.shape]
    return {
        "shape": data.shape,
        "sum": float(data.sum()),
        "squares": float((data**2).sum()),
        "least": float(data.min()),
        "most": float(data.max()),
        "nonzero": int(np.count_nonzero(data)),
        "moments": [
            float(np.einsum("xyz,x->", data, axes[0])),
            float(np.einsum("xyz,y->", data, axes[1])),
            float(np.einsum("xyz,z->", data, axes[2])),
            float(np.einsum("xyz,x,y,z->", data, *axes)),
        ],
    }


def real_cases(folder):
    oblique = centred(rotation(0.13, -0.21, 0.34) @ np.diag([2.13, 1.71, 2.77]), (90, 110, 50), [-118, 121, 77])
    edge = 1.9371
    for patient in ("brats_2013_pat0001_1", "brats_2013_pat0002_1", "brats_2013_pat0003_1"):
        for file, order in (("T1c_subtrMeanDivStd", 1), ("OTMultiClass", 0), ("brainmask", 0)):
            loaded = nib.load(folder / patient / f"{file}.nii.gz")
            # In double precision, as the Rust side computes.
            image = nib.Nifti1Image(loaded.get_fdata(), loaded.affine)
            canonical = nib.as_closest_canonical(image)
            cubes = processing.resample_to_output(canonical, edge, order=order, mode="constant", cval=0.0)
            check_margins(canonical, cubes.shape, cubes.affine)
            yield {
                "file": f"{patient}/{file}.nii.gz",
                "affine": image.affine[:3].tolist(),
                "letters": "".join(nib.aff2axcodes(image.affine)),
                "interpolation": "trilinear" if order else "nearest",
                "read": summary(image.get_fdata()),
                "canonical": summary(canonical.get_fdata()) | {"affine": canonical.affine[:3].tolist()},
                "pir": summary(turned(image, "PIR").get_fdata()),
                "edge": edge,
                "cubes": summary(cubes.get_fdata()) | {"affine": cubes.affine[:3].tolist()},
                "oblique": summary(resampled(image, (90, 110, 50), oblique, order))
                | {"affine": oblique[:3].tolist()},
            }


def main():
    write("volume_synthetic.json", list(synthetic_cases()))
    if len(sys.argv) > 1:
        write("volume_real.json", list(real_cases(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
