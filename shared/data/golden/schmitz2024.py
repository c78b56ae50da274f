"""The preprocessing of Schmitz, Guo and Wang (arXiv:2310.12373) in NumPy and scikit-image.

Writes schmitz2024.json beside this file, which src/preprocess/golden_tests.rs compares with the profile
`schmitz2024`: a formula volume voxel by voxel, and, of the real volumes in ../shared/data/brats2013_cc_by_nc_sa,
summary numbers only (sums and moments over thousands of voxels; their licence lets no voxel be copied here).

Run from the repository's root, with ../shared present:
    python -m venv /tmp/golden && /tmp/golden/bin/pip install numpy==2.4.6 nibabel==5.4.2 scikit-image==0.26.0
    /tmp/golden/bin/python shared/data/golden/schmitz2024.py
"""

import json
from pathlib import Path

import nibabel
import numpy as np
import skimage
from skimage.transform import rescale

HERE = Path(__file__).resolve().parent
REAL = HERE.parents[3] / "shared/data/brats2013_cc_by_nc_sa"
PATIENTS = [f"brats_2013_pat000{n}_1" for n in (1, 2, 3)]
IMAGES = ["Flair_subtrMeanDivStd", "T1c_subtrMeanDivStd"]


def pipeline(image, mask):
    """Arrays in (z, y, x), 155x240x240; the order of the steps is the authors'."""
    masked = np.where(mask > 0, image, 0.0).astype(np.float64)
    window = masked[0:140, 39:211, 44:208]
    half = rescale(window, 0.5, order=1, anti_aliasing=False)
    scaled = (half - half.min()) / (half.max() - half.min())
    return np.pad(scaled, ((0, 0), (0, 0), (2, 2)))


def formula():
    """Whole numbers, the same in every language. Some tumour voxels are negative, as interpolation leaves them."""
    z, y, x = np.meshgrid(*map(np.arange, (155, 240, 240)), indexing="ij")
    image = (3 * z * z + 7 * y + 5 * x * x + z * y * x) % 2003 - 300
    distance = 4 * (z - 75) ** 2 + 2 * (y - 120) ** 2 + (x - 130) ** 2
    mask = np.where(distance < 16000, 1 + (x + y + z) % 4, 0)
    return image.astype(np.float64), mask


def moments(values):
    """A few sums that change when anything moves or is scaled."""
    z, y, x = np.meshgrid(*map(np.arange, values.shape), indexing="ij")
    octants = values.reshape(2, 35, 2, 43, 2, 43).sum(axis=(1, 3, 5))
    return {
        "sum": values.sum(),
        "sum_of_squares": (values**2).sum(),
        "nonzero": int((values != 0).sum()),
        "moments": [(values * axis).sum() for axis in (z, y, x)],
        "squared_moments": [(values**2 * axis).sum() for axis in (z, y, x)],
        "octants": octants.ravel().tolist(),
    }


def lps(path):
    """(z, y, x) with x towards the left, y posterior, z superior."""
    file = nibabel.load(path)
    axes = nibabel.orientations.axcodes2ornt("LPS")
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(file.affine), axes)
    return np.asarray(file.as_reoriented(turn).dataobj, dtype=np.float64).transpose(2, 1, 0)


def real():
    cases = []
    for patient in PATIENTS:
        mask = lps(REAL / patient / "OTMultiClass.nii.gz")
        for image in IMAGES:
            values = pipeline(lps(REAL / patient / f"{image}.nii.gz"), mask)
            cases.append({"patient": patient, "image": image, **moments(values)})
    return cases


def main():
    values = pipeline(*formula())
    assert values.shape == (70, 86, 86)
    # Sharing no factor with the array's sides, it visits every part of the array.
    stride = 1201
    golden = {
        "made_by": f"numpy {np.__version__}, scikit-image {skimage.__version__}, nibabel {nibabel.__version__}",
        "formula": {**moments(values), "stride": stride, "samples": values.ravel()[::stride].round(9).tolist()},
        "real": real(),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items() if key != "real"]
    lines.append(' "real": [\n  ' + ",\n  ".join(map(json.dumps, golden["real"])) + "\n ]")
    (HERE / "schmitz2024.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
