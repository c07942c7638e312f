"""DenseFuse, fused and evaluated here, against what others published of it."""

import json

import numpy as np
import pytest

import densefuse_tf
from densefuse_tf import metrics
from densefuse_tf.evaluation.table2.rows import stored_as_jpeg
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.io import pixels


@pytest.mark.parametrize("pair", ["03", "09", "16", "24", "31", "38"])
def test_the_toolkits_row_of_densefuse(shared, released, pair):
    """Six of the 42 pairs: the release's weights for lambda 1e2, addition."""
    folder = shared / "published" / "toolkit"
    ir, vis, published = (
        pixels.gray(images.read(folder / part / f"{pair}.png"))
        for part in ("ir", "vis", "densefuse")
    )
    fused = densefuse_tf.fuse(
        [ir, vis], checkpoint=released["1e2"], strategy="addition"
    )
    assert np.max(np.abs(fused.astype(int) - published)) <= 1
    expected = json.loads((folder / "values.json").read_text())["images"][f"{pair}.png"]
    expected["En"] = expected.pop("EN")
    found = metrics.evaluate(ir, vis, fused, metrics="toolkit", convention="toolkit")
    assert found == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("pair", [1, 8])
def test_the_authors_pytorch_program(shared, pytorch, pair):
    """Raw output and image: the other DenseFuse of the literature."""
    folder = shared / "published" / "pytorch"
    sources = [images.read(shared / f"tno/{kind}{pair}.png") for kind in ("IR", "VIS")]
    settings = FusionSettings(
        folder / "densefuse_gray.model", strategy="mean", output_range="clip"
    )
    fused = Fuser(settings).fuse(sources)
    raw = np.load(folder / f"raw{pair}.npy")
    np.testing.assert_allclose(fused.raw, raw.squeeze(), atol=1e-3)
    published = images.read(folder / f"fused{pair}.png")
    # A value next to a whole number may be truncated to the other side.
    difference = np.abs(fused.image.astype(int) - published)
    assert difference.max() <= 1 and difference.mean() < 1e-4


@pytest.mark.parametrize(
    ("folder", "method", "options"),
    [
        ("CBF", "cbf", {}),
        ("VSMWLS", "wls", {}),
        ("GTF", "gtf", {"channels": "joint"}),
    ],
)
@pytest.mark.parametrize(
    "pair", ["walking2", "snow", "fight", "manCar", "carLight", "labMan"]
)
def test_vifbs_images_of_compared_methods(shared, long, folder, method, options, pair):
    """Six of the 21 colour pairs, which VIFB stores as JPEG."""
    if not long and pair != "walking2":
        pytest.skip("seconds for each pair: with --long")
    files = shared / "published" / "vifb"
    ir, vis, published = (
        images.read(files / part / f"{pair}.jpg") for part in ("ir", "vis", folder)
    )
    fused = densefuse_tf.fuse([ir, vis], method=method, **options)
    np.testing.assert_array_equal(stored_as_jpeg(fused), published)
