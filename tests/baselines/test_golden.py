"""The methods against the images and values of ../shared, those of their authors."""

import numpy as np
import pytest

from densefuse_tf import baselines

# How many of the pixels are equal at the least, and by how many levels others differ.
IMAGES = {
    "CBF": (1, 0),
    "DCHWT": (1, 0),
    "WLS": (1, 0),
    "GTF": (0.995, 1),
    "DeepFuse": (0.9995, 1),
    "CNN": (0.9999, 255),
    "JSR": (0.99, 255),
    "JSRSD": (0.99, 255),
}
# The largest difference before rounding.
VALUES = {"CBF": 1e-11, "DCHWT": 1e-11, "WLS": 1e-10, "GTF": 5e-3}


@pytest.mark.parametrize("number", [1, 5, 8, 11, 18, 20])
@pytest.mark.parametrize("name", IMAGES)
def test_fuse_gives_the_golden_image(shared, tno, golden, long, name, number):
    if not long and (name in ("JSR", "JSRSD") or (name == "CNN" and number > 11)):
        pytest.skip("takes up to a minute: runs with --long")
    folder = shared / "methods"
    options = {
        "CNN": {"checkpoint": folder / "CNN/weights.npz"},
        "DeepFuse": {
            "checkpoint": folder / "DeepFuse/deepfuse_model_bs2_epoch4_all.ckpt"
        },
        "JSR": {"dictionary": folder / f"JSR/dictionary{number}.npy"},
        "JSRSD": {"dictionary": folder / f"JSR/dictionary{number}.npy"},
    }
    own = {key: str(path) for key, path in options.get(name, {}).items()}
    fused = baselines.create(name.lower(), own).fuse(*tno(number))
    assert fused.dtype == np.uint8
    difference = np.abs(fused.astype(int) - golden(name, number))
    share, most = IMAGES[name]
    assert (difference == 0).mean() >= share
    assert difference.max() <= most
    assert (difference <= 1).mean() >= 0.999


@pytest.mark.parametrize("number", [1, 11])
@pytest.mark.parametrize("name", VALUES)
def test_values_before_rounding_are_those_of_the_published_code(
    tno, golden, name, number
):
    raw = baselines.create(name.lower()).raw(*tno(number))
    difference = np.abs(raw - golden(name, number, raw=True))
    assert difference.max() < VALUES[name]
    assert difference.mean() < 5e-5
