import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densefuse_tf.metrics import q_cb

from .conftest import quick
from .conftest import scene
from .conftest import triples
from .test_q_cv import naive_stretched
from .test_sensitivity import naive_filtered


def sensitivity(r):
    return np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))


def naive_blurred(image, sigma):
    """Sums of 31x31 products, zeros beyond the border."""
    d = np.arange(-15, 16)
    squares = d[:, None] ** 2 + d**2
    weights = np.exp(-squares / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    padded = np.pad(image, 15)
    sums = np.zeros(image.shape)
    for y, x in np.ndindex(*image.shape):
        sums[y, x] = np.sum(padded[y : y + 31, x : x + 31] * weights)
    return sums


def naive_masked(image):
    image = naive_filtered(image, sensitivity, 30)
    narrow, wide = naive_blurred(image, 2), naive_blurred(image, 4)
    with np.errstate(invalid="ignore"):
        contrast = np.abs(np.where(wide == 0, 1, narrow / wide) - 1)
    return contrast**3 / (contrast**2 + 1e-4)


def naive_q_cb(images, convention):
    if convention == "vifb":
        images = map(naive_stretched, images)
    *sources, target = (naive_masked(image.astype(float)) for image in images)
    values = []
    for place in np.ndindex(*target.shape):
        kept = [
            min(s[place], target[place]) / max(s[place], target[place])
            if max(s[place], target[place])
            else 1.0
            for s in sources
        ]
        a, b = (s[place] ** 2 for s in sources)
        share = a / (a + b) if a + b else 0.5
        values.append(share * kept[0] + (1 - share) * kept[1])
    return np.mean(values)


@pytest.mark.parametrize("convention", ["intended", "vifb"])
@quick
@given(data=st.data())
def test_straight_loops_symmetry_range(convention, data):
    ir, vis, fused = data.draw(triples(smallest=1))
    value = q_cb(ir, vis, fused, convention=convention)
    expected = naive_q_cb((ir, vis, fused), convention)
    assert value == pytest.approx(expected, abs=1e-6)
    assert 0 <= value <= 1 + 1e-12
    assert q_cb(vis, ir, fused, convention=convention) == pytest.approx(value)


@pytest.mark.parametrize("convention", ["intended", "vifb"])
def test_straight_loops_on_a_scene(convention):
    images = scene(37, 40)
    value = q_cb(*images, convention=convention)
    assert value == pytest.approx(naive_q_cb(images, convention), abs=1e-12)


def test_identity(pair):
    image = pair[0]
    for convention in ("intended", "vifb"):
        assert q_cb(image, image, image, convention=convention) == pytest.approx(1)


@pytest.mark.filterwarnings("error")
def test_images_without_contrast():
    black = np.zeros((6, 7), np.uint8)
    other = scene(6, 7)[0]
    assert q_cb(black, black, black) == 1
    # None of what the fused image has is theirs.
    assert q_cb(black, black, other) == 0
    # A source without contrast has no weight.
    assert q_cb(black, other, other) == pytest.approx(1)


def test_only_the_paper_sees_the_mean_level(pair):
    ir, vis, fused = (image // 2 for image in pair)
    brighter = fused + 60
    for convention, sees in (("intended", True), ("vifb", False)):
        value = q_cb(ir, vis, fused, convention=convention)
        other = q_cb(ir, vis, brighter, convention=convention)
        assert (value != other) == sees
