"""The compiled loop against straight loops over all 81 cells, from the definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densefuse_tf.metrics.windows import window_scores

from .conftest import quick
from .conftest import scene
from .conftest import triples


def naive_score(source, fused):
    """Score of two 3x3 windows: plain Python, one cell after the other."""
    if np.array_equal(source, fused):
        return 1.0
    a, f = naive_distribution(source), naive_distribution(fused)
    # sum / 9 in this order leaves a rest for the uniform distribution, in MATLAB's
    # arithmetic too: that is what makes two constant windows correlate.
    centred_a = [p - sum_in_order(a) / 9 for p in a]
    centred_f = [p - sum_in_order(f) / 9 for p in f]
    product = sum_in_order([p * q for p, q in zip(centred_a, centred_f, strict=True)])
    c = 0.0
    if product != 0:
        c = product / math.sqrt(
            sum_in_order([p * p for p in centred_a])
            * sum_in_order([p * p for p in centred_f])
        )
    sd_a, sd_f = naive_deviation(a), naive_deviation(f)
    distribution_a = [0.0, *(sum_in_order(a[: i + 1]) for i in range(9))]
    distribution_f = [0.0, *(sum_in_order(f[: i + 1]) for i in range(9))]

    def bound(i, j):
        if i == 0 or j == 0:
            return 0.0
        if c >= 0:
            return min(distribution_f[i], distribution_a[j])
        return max(distribution_f[i] + distribution_a[j] - 1, 0.0)

    phi = 0.0
    if c != 0 and sd_a != 0 and sd_f != 0:
        covariance = 0.0
        for i in range(1, 10):
            for j in range(1, 10):
                covariance += bound(i, j) - distribution_f[i] * distribution_a[j]
        phi = c / (covariance / (sd_f * sd_a))
    joint = 0.0
    for i in range(1, 10):
        for j in range(1, 10):
            mass = bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1)
            cell = phi * mass + (1 - phi) * f[i - 1] * a[j - 1]
            if cell != 0:
                joint -= cell * math.log2(abs(cell))
    entropies = naive_entropy(a) + naive_entropy(f)
    information = entropies - joint
    return 0.0 if information == 0 else 2 * information / entropies


def naive_distribution(window):
    values = [float(window[row, column]) for column in range(3) for row in range(3)]
    low, high = min(values), max(values)
    values = [1.0 if low == high else (v - low) / (high - low) for v in values]
    total = sum_in_order(values)
    return [v / total for v in values]


def naive_deviation(p):
    mean = sum_in_order([(i + 1) * p[i] for i in range(9)])
    square = sum_in_order([(i + 1) ** 2 * p[i] for i in range(9)])
    return math.sqrt(max(square - mean**2, 0.0))


def naive_entropy(p):
    return -sum_in_order([q * math.log2(q) for q in p if q > 0])


def sum_in_order(values):
    # Python 3.12's sum compensates its rounding.
    total = 0.0
    for value in values:
        total += value
    return total


def naive_scores(ir, vis, fused):
    height, width = fused.shape
    rows = []
    for y in range(height - 2):
        scores = []
        for x in range(width - 2):
            here = np.s_[y : y + 3, x : x + 3]
            scores += [naive_score(ir[here], fused[here])]
            scores += [naive_score(vis[here], fused[here])]
        rows.append(np.mean(scores))
    return np.array(rows)


def as_features(images):
    return [image / 255.0 for image in images]


def assert_as_naive(images):
    images = as_features(images)
    found = window_scores(*images)
    np.testing.assert_allclose(found, naive_scores(*images), rtol=0, atol=1e-9)


# All levels; constant, equal and spiked windows; mostly black images.
@pytest.mark.parametrize("levels", [None, [0, 1, 255], [0, 0, 0, 0, 0, 0, 0, 200]])
@quick
@given(data=st.data())
def test_straight_loops(levels, data):
    assert_as_naive(data.draw(triples(largest=6, levels=levels)))


def test_straight_loops_on_a_scene():
    ir, vis, fused = scene(14, 17)
    # Against its negative, the correlation is negative everywhere: the lower bound.
    for images in ((ir, vis, fused), (ir, vis, 255 - ir)):
        assert_as_naive(images)


def window(*values):
    return np.array(values, float).reshape(3, 3)


SPIKE = window(0, 0, 0, 0, 1, 0, 0, 0, 0)
RAMP = window(0, 1, 2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize(
    ("source", "fused", "score"),
    [
        (RAMP, RAMP, 1),
        (SPIKE, SPIKE, 1),
        (window(*[3] * 9), window(*[3] * 9), 1),
        # Constant windows of different levels: both uniform.
        (window(*[3] * 9), window(*[4] * 9), 1),
        (window(*[3] * 9), RAMP, 0),
        (RAMP, window(*[3] * 9), 0),
        # All mass on one index: no spread.
        (SPIKE, 2 * SPIKE, 0),
        (SPIKE, np.roll(SPIKE, 1), 0),
        (SPIKE, RAMP, 0),
        # Rescaling makes these the same distribution.
        (RAMP, 2 * RAMP + 1, 1),
    ],
)
def test_special_windows(source, fused, score):
    assert window_scores(source, source, fused) == pytest.approx([score], abs=1e-12)
    assert naive_score(source, fused) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("fused", [RAMP, 2 * SPIKE, 8 - RAMP])
@pytest.mark.parametrize("rest", [1e-15, 1e-16, 1e-17])
def test_spike_and_rounding_has_no_spread(fused, rest):
    # Cosine transforms of simple patterns are like that.
    source = SPIKE + rest * RAMP
    assert window_scores(source, source, fused) == pytest.approx([0], abs=1e-12)


@pytest.mark.parametrize("other", [8 - RAMP, 3 * RAMP, RAMP.T])
@pytest.mark.parametrize("rest", [1e-16, 1e-17])
def test_the_rounding_beside_two_spikes_is_not_compared(rest, other):
    # Rescaled to its own share, such a rest would give any score, 4 or 15 too.
    source, fused = SPIKE + rest * RAMP, SPIKE + rest * other
    assert window_scores(source, source, fused) == pytest.approx([0], abs=1e-12)


def test_windows_are_read_column_by_column():
    # The order of the indices matters to the joint distribution.
    images = as_features(scene(8, 8))
    turned = [np.ascontiguousarray(image.T) for image in images]
    assert abs(window_scores(*images).mean() - window_scores(*turned).mean()) > 1e-4
