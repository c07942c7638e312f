import concurrent.futures
import math
import subprocess
import sys

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.metrics import METRICS

from .conftest import CROPS
from .conftest import PUBLISHED
from .conftest import scene

KEYS = ["En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM"]


def test_the_seven_of_table_2_in_its_order(pair):
    ir, vis, fused = pair
    values = metrics.evaluate(ir, vis, fused)
    assert list(values) == KEYS
    assert all(type(value) is float for value in values.values())
    assert values == {
        "En": metrics.entropy(fused),
        "Qabf": metrics.qabf(ir, vis, fused),
        "SCD": metrics.scd(ir, vis, fused),
        "FMI_w": metrics.fmi(ir, vis, fused, feature="wavelet"),
        "FMI_dct": metrics.fmi(ir, vis, fused, feature="dct"),
        "SSIM_a": metrics.ssim_a(ir, vis, fused),
        "MS_SSIM": metrics.ms_ssim(ir, vis, fused),
    }


def test_a_selection_in_its_order(pair):
    ir, vis, fused = pair
    assert metrics.evaluate(ir, vis, fused, metrics="SD,paper,mi") == {
        "SD": metrics.sd(fused),
        **metrics.evaluate(ir, vis, fused),
        "MI": metrics.mi(ir, vis, fused),
    }
    values = metrics.evaluate(ir, vis, fused, metrics=["VIF", "AG"])
    assert list(values) == ["VIF", "AG"]


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_all_are_what_the_single_ones_are(pair, convention):
    values = metrics.evaluate(*pair, metrics="all", convention=convention)
    assert values == {
        name: metric(*pair, convention=convention) for name, metric in METRICS.items()
    }
    assert list(values) == list(METRICS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_toolkit_values(golden, published, name):
    images, expected = published(name)
    values = metrics.evaluate(*images, metrics="toolkit", convention="toolkit")
    _, more = golden(name)
    expected = expected | {key: more[key] for key in ("En", "SCD", "Qabf")}
    assert values == pytest.approx(expected, abs=1e-9)


def test_a_selection_takes_images_as_small_as_its_metrics_do(pair):
    small = [image[:3, :4] for image in pair]
    assert set(metrics.evaluate(*small, metrics="SF,CC,Nabf")) == {"SF", "CC", "Nabf"}
    with pytest.raises(UserError, match="ir is 3x4: expected at least 41x41 pixels"):
        metrics.evaluate(*small, metrics="SF,VIF")


def test_unknown_metric(pair):
    with pytest.raises(UserError, match="metric 'LPIPS' is unknown: expected paper,"):
        metrics.evaluate(*pair, metrics="En,LPIPS")


@pytest.mark.parametrize("name", CROPS)
def test_matlab_code(golden, name):
    images, expected = golden(name)
    values = metrics.evaluate(*images)
    expected = expected["independent_implementation"] | expected
    assert values == pytest.approx({key: expected[key] for key in KEYS}, abs=1e-9)


def evaluate_all(ir, vis, fused):
    """All metrics but the infinite PSNR of equal images."""
    values = metrics.evaluate(ir, vis, fused, metrics="all")
    psnr = values.pop("PSNR")
    assert (psnr == math.inf) == (values["MSE"] == 0)
    return values


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("levels", [(0, 0, 0), (255, 255, 255), (3, 90, 200)])
def test_constant_images_give_numbers_and_no_warnings(levels):
    images = [np.full((44, 47), level, np.uint8) for level in levels]
    assert all(map(math.isfinite, evaluate_all(*images).values()))
    scenes = scene(44, 47)
    for place in range(3):
        mixed = [*scenes[:place], images[place], *scenes[place + 1 :]]
        assert all(map(math.isfinite, evaluate_all(*mixed).values()))


def test_pairs_side_by_side_in_threads():
    pairs = [scene(44, 50, seed=seed) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda images: metrics.evaluate(*images), pairs))
    assert found == [metrics.evaluate(*images) for images in pairs]


def test_needs_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
        "import numpy as np; from densefuse_tf import metrics\n"
        "image = np.arange(44 * 44, dtype=np.uint8).reshape(44, 44)\n"
        "print(len(metrics.evaluate(image, image, image)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("7", 0), done.stderr
