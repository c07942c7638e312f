import itertools

import numpy as np
import pytest
import pywt
from hypothesis import given

from densefuse_tf.errors import UserError
from densefuse_tf.metrics._fmi import FEATURES
from densefuse_tf.metrics._fmi import fmi
from densefuse_tf.metrics.windows import window_scores

from .conftest import quick
from .conftest import scene
from .conftest import triples
from .test_windows import naive_scores


def naive_cosine(image):
    """The orthonormal transform from its definition, as matrices."""

    def matrix(n):
        k, i = np.mgrid[:n, :n]
        rows = np.cos(np.pi * (2 * i + 1) * k / (2 * n)) * np.sqrt(2 / n)
        rows[0] /= np.sqrt(2)
        return rows

    return matrix(image.shape[0]) @ image @ matrix(image.shape[1]).T


def naive_wavelet(image):
    """dwt2(image, 'dmey') as MATLAB defines it: extend, filter, keep every other."""
    low, high = (np.pad(t, 20) for t in pywt.Wavelet("dmey").filter_bank[:2])

    def analyse(signal, taps):
        extended = np.pad(signal, len(taps) - 1, mode="symmetric")
        return np.convolve(extended, taps, mode="valid")[1::2]

    halves = [np.apply_along_axis(analyse, 0, image, taps) for taps in (low, high)]
    # [cA cH; cV cD], cH high along the columns, cV along the rows.
    quarters = [
        [np.apply_along_axis(analyse, 1, halves[0], taps) for taps in (low, high)],
        [np.apply_along_axis(analyse, 1, halves[1], taps) for taps in (low, high)],
    ]
    bands = np.block(
        [[quarters[0][0], quarters[1][0]], [quarters[0][1], quarters[1][1]]]
    )
    return (bands - bands.min()) / (bands.max() - bands.min())


@pytest.mark.parametrize(
    ("feature", "extract"), [("dct", naive_cosine), ("wavelet", naive_wavelet)]
)
@pytest.mark.parametrize("shape", [(11, 14), (12, 13), (120, 3)])
def test_features_from_the_definition(feature, extract, shape):
    image = scene(*shape)[0] / 255.0
    np.testing.assert_allclose(FEATURES[feature](image), extract(image), atol=1e-12)


@pytest.mark.parametrize("feature", FEATURES)
def test_mean_over_all_windows(feature):
    images = scene(11, 14)
    features = [FEATURES[feature](image / 255.0) for image in images]
    expected = window_scores(*features).mean()
    assert fmi(*images, feature=feature) == expected
    # A part of the wavelet's image stands for all of it: straight loops take long.
    features = [np.ascontiguousarray(f[-12:, -14:]) for f in features]
    np.testing.assert_allclose(
        window_scores(*features), naive_scores(*features), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("feature", FEATURES)
def test_identity(pair, feature):
    image = pair[0]
    assert fmi(image, image, image, feature=feature) == 1


@pytest.mark.parametrize("feature", FEATURES)
@quick
@given(images=triples(largest=7))
def test_symmetry_and_range(feature, images):
    ir, vis, fused = images
    value = fmi(ir, vis, fused, feature=feature)
    assert -0.2 <= value <= 1.2
    assert fmi(vis, ir, fused, feature=feature) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("levels", [(0, 0, 0), (9, 9, 9), (0, 7, 255), (9, 8, 7)])
def test_constant_images(feature, levels):
    # 61 and 53 are primes: the cosine transform of a constant is not exact there.
    images = [np.full((61, 53), level, np.uint8) for level in levels]
    value = fmi(*images, feature=feature)
    assert np.isfinite(value)
    if feature == "none" or len(set(levels)) == 1:
        assert value == 1
    if feature == "dct" and 0 not in levels and len(set(levels)) > 1:
        # One window holds the mean: a spike, which tells nothing of another.
        assert value == pytest.approx(1 - 1 / (59 * 51))


@pytest.mark.parametrize("feature", ["wavelet", "dct", "none"])
def test_constant_fused_image_shares_nothing(feature):
    ir, vis, _ = scene(61, 53)
    flat = np.full((61, 53), 9, np.uint8)
    value = fmi(ir, vis, flat, feature=feature)
    # The wavelet's bands meet in edges that all images have.
    assert 0 <= value < (0.05 if feature == "wavelet" else 1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("feature", FEATURES)
def test_transforms_that_are_mostly_rounding(feature):
    y, x = np.mgrid[:31, :34]
    patterns = (x // 3 % 2 * 255, 2 * y + 1, 3 * x, 255 * (x * y == 600))
    for images in itertools.product([p.astype(np.uint8) for p in patterns], repeat=3):
        assert -0.2 <= fmi(*images, feature=feature) <= 1.2


def test_default_is_the_wavelet(pair):
    assert fmi(*pair) == fmi(*pair, feature="wavelet")


@pytest.mark.parametrize("feature", ["gradient", None, ["dct"]])
def test_unknown_feature(pair, feature):
    with pytest.raises(UserError, match=r"feature is .*: expected one of wavelet, dct"):
        fmi(*pair, feature=feature)
