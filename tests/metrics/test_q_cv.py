import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densefuse_tf.metrics import q_cv

from .conftest import quick
from .conftest import scene
from .conftest import triples
from .test_sensitivity import naive_filtered


def naive_stretched(image):
    low, high = int(image.min()), int(image.max())
    if low == high:
        return np.zeros(image.shape)
    return np.vectorize(
        lambda level: math.floor((level - low) / (high - low) * 255 + 0.5),
        otypes=[float],
    )(image.astype(float))


def sensitivity(r):
    return 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))


def naive_saliency(image, y, x):
    """|gradient|^5 of one pixel, zeros beyond the border."""

    def at(i, j):
        inside = 0 <= i < image.shape[0] and 0 <= j < image.shape[1]
        return image[i, j] if inside else 0.0

    horizontal = sum(
        weight * (at(y + d, x + 1) - at(y + d, x - 1))
        for d, weight in ((-1, 1), (0, 2), (1, 1))
    )
    vertical = sum(
        weight * (at(y + 1, x + d) - at(y - 1, x + d))
        for d, weight in ((-1, 1), (0, 2), (1, 1))
    )
    return math.hypot(horizontal, vertical) ** 5


def naive_q_cv(images, convention):
    if convention == "vifb":
        images = map(naive_stretched, images)
    *sources, target = (image.astype(float) for image in images)
    height, width = target.shape
    shares, differences = [], []
    for source in sources:
        seen = source - target
        if convention == "vifb":
            seen = naive_filtered(seen, sensitivity, 8)
        for top in range(0, height, 16):
            for left in range(0, width, 16):
                places = [
                    (y, x)
                    for y in range(top, min(top + 16, height))
                    for x in range(left, min(left + 16, width))
                ]
                shares.append(sum(naive_saliency(source, *place) for place in places))
                block = np.zeros((16, 16))
                for y, x in places:
                    block[y - top, x - left] = seen[y, x]
                if convention == "intended":
                    block = naive_filtered(block, sensitivity, 8, of=target.shape)
                differences.append(np.mean(block**2))
    if not any(shares):
        return np.mean(differences)
    return np.dot(shares, differences) / sum(shares)


@pytest.mark.parametrize("convention", ["intended", "vifb"])
@quick
@given(data=st.data())
def test_straight_loops_and_symmetry(convention, data):
    ir, vis, fused = data.draw(triples(smallest=1))
    value = q_cv(ir, vis, fused, convention=convention)
    expected = naive_q_cv((ir, vis, fused), convention)
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert value >= 0
    other = q_cv(vis, ir, fused, convention=convention)
    assert other == pytest.approx(value, rel=1e-9)


# Whole blocks, and blocks that either border cuts.
@pytest.mark.parametrize("shape", [(32, 48), (17, 35), (40, 31)])
@pytest.mark.parametrize("convention", ["intended", "vifb"])
def test_straight_loops_on_scenes(convention, shape):
    images = scene(*shape)
    value = q_cv(*images, convention=convention)
    assert value == pytest.approx(naive_q_cv(images, convention), rel=1e-12)


def test_identity_is_0_and_a_level_counts_by_the_paper_only(pair):
    image = pair[0] // 2
    assert q_cv(image, image, image) == 0
    assert q_cv(image, image, image + 9) > 0
    assert q_cv(image, image, image + 9, convention="vifb") == 0


@pytest.mark.filterwarnings("error")
def test_sources_without_a_gradient_weigh_the_same():
    black = np.zeros((16, 32), np.uint8)
    other = scene(16, 32)[0]
    assert q_cv(black, black, black) == 0
    for convention in ("intended", "vifb"):
        expected = naive_q_cv([black, black, other], convention)
        value = q_cv(black, black, other, convention=convention)
        assert value == pytest.approx(expected) and value > 1
