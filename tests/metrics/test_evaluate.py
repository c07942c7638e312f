import concurrent.futures
import math
import subprocess
import sys

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.metrics import METRICS
from densefuse_tf.metrics import SELECTIONS

from .conftest import scene

PAPER = ("En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM")


def test_selections():
    assert SELECTIONS["paper"] == PAPER
    assert SELECTIONS["all"] == tuple(METRICS)
    # What the toolkit publishes, in its order; and VIFB's tables, in theirs.
    toolkit = "En MI SD SF AG SCD CC VIF MSE PSNR Qabf"
    assert SELECTIONS["toolkit"] == tuple(toolkit.split())
    vifb = "AG CE EI En MI PSNR Qabf Q_CB Q_CV RMSE SF SSIM SD"
    assert SELECTIONS["vifb"] == tuple(vifb.split())
    assert metrics.select("paper") == PAPER
    assert metrics.select("En,SD") == metrics.select(["En", "SD"]) == ("En", "SD")
    assert metrics.select(" sd , EN,sd") == ("SD", "En")
    assert metrics.select("VIF,paper") == ("VIF", *PAPER)


@pytest.mark.parametrize("selection", ["Enn", "", "En,,SD", ["SD", "ALLL"], [None]])
def test_select_refuses_unknown_names(selection):
    with pytest.raises(UserError, match=r"^metric .* is unknown: expected paper, .*En"):
        metrics.select(selection)


def test_select_refuses_nothing():
    with pytest.raises(UserError, match="no metrics are named: expected some of En"):
        metrics.select([])
    with pytest.raises(UserError, match="metrics is None: expected names"):
        metrics.select(None)


def test_a_selection_in_its_order(pair):
    ir, vis, fused = pair
    values = metrics.evaluate(ir, vis, fused)
    assert tuple(values) == metrics.select("paper")
    assert all(type(value) is float for value in values.values())
    assert metrics.evaluate(ir, vis, fused, metrics="SD,paper,mi") == {
        "SD": metrics.sd(fused),
        **values,
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


def test_vifb_evaluates_colour_images():
    scenes = zip(*(scene(44, 45, seed=seed) for seed in range(3)), strict=True)
    ir, vis, fused = (np.stack(planes, axis=-1) for planes in scenes)
    values = metrics.evaluate(ir, vis, fused, metrics="vifb", convention="vifb")
    assert tuple(values) == SELECTIONS["vifb"]
    for name, value in values.items():
        assert value == METRICS[name](ir, vis, fused, convention="vifb")
    with pytest.raises(UserError, match="^ir has shape .* colour has to be turned"):
        metrics.evaluate(ir, vis, fused, metrics="vifb")
    with pytest.raises(UserError, match="ir is 9x45: expected at least 11x11 pixels"):
        metrics.evaluate(ir[:9], vis[:9], fused[:9], metrics="vifb", convention="vifb")


def test_a_selection_takes_images_as_small_as_its_metrics_do(pair):
    small = [image[:3, :4] for image in pair]
    assert set(metrics.evaluate(*small, metrics="SF,CC,Nabf")) == {"SF", "CC", "Nabf"}
    with pytest.raises(UserError, match="ir is 3x4: expected at least 41x41 pixels"):
        metrics.evaluate(*small, metrics="SF,VIF")
    # The largest size that one of them needs, whichever comes first.
    with pytest.raises(UserError, match="ir is 3x4: expected at least 41x41 pixels"):
        metrics.evaluate(*small, metrics="SSIM,VIF,FMI_w")


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
