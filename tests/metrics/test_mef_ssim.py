import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.metrics import mef_ssim
from densefuse_tf.metrics import ms_ssim

from .conftest import scene
from .test_ms_ssim import naive_ms_ssim


@pytest.fixture
def exposures() -> list[np.ndarray]:
    """A dark, a middle and a bright image of one scene, [H, W] uint8."""
    vis = scene(50, 47)[1].astype(float)
    return [np.clip(vis * gain, 0, 255).astype(np.uint8) for gain in (0.3, 1, 2.5)]


@pytest.mark.parametrize("count", (2, 3, 4))
def test_straight_loops(exposures, count):
    ir, vis, fused = scene(50, 47)
    sources = [*exposures, ir][-count:]
    for image in (vis, fused, exposures[0]):
        value = naive_ms_ssim(*sources, image)
        assert 0.05 < value < 0.999
        assert mef_ssim(sources, image) == pytest.approx(value, abs=1e-9)


def test_two_sources_are_the_papers_ms_ssim(pair):
    ir, vis, fused = pair
    assert mef_ssim([ir, vis], fused) == ms_ssim(ir, vis, fused)


def test_order_of_sources_does_not_matter(exposures):
    fused = scene(50, 47)[2]
    value = mef_ssim(exposures, fused)
    assert mef_ssim(exposures[::-1], fused) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("count", (2, 3, 5))
def test_equal_sources_are_their_own_best_fusion(pair, count):
    # Not quite 1: the strengths hold the added 0.001.
    assert mef_ssim([pair[0]] * count, pair[0]) == pytest.approx(1, abs=1e-6)


def test_a_flat_source_more_changes_little(exposures):
    fused = scene(50, 47)[2]
    value = mef_ssim(exposures, fused)
    white = np.full((50, 47), 255, np.uint8)
    assert mef_ssim([*exposures, white], fused) == pytest.approx(value, abs=0.02)


def test_brightness_does_not_matter(exposures):
    sources = [image // 2 for image in exposures]
    fused = scene(50, 47)[2] // 2
    value = mef_ssim(sources, fused)
    assert mef_ssim(sources, fused + 100) == pytest.approx(value, abs=1e-10)


def test_what_has_the_details_of_all_is_better_than_any_source():
    vis = scene(50, 120)[1].astype(float)
    ramp = np.linspace(0, 1, 120)
    # One is flat on the left, the other on the right.
    sources = [np.uint8(vis * ramp), np.uint8(vis * ramp[::-1])]
    best = max(mef_ssim(sources, image) for image in sources)
    assert mef_ssim(sources, vis.astype(np.uint8)) > best + 0.05


def test_three_sources_that_cancel_each_other(pair):
    ir = pair[0] // 2
    sources = [ir, 127 - ir, np.full_like(ir, 9)]
    assert 0 <= mef_ssim(sources, ir) <= 1


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([np.zeros((50, 50), np.uint8)], "fewer than two"),
        (np.zeros((2, 50, 50), np.uint8), "sources is one array"),
        ([np.zeros((50, 50), np.uint8)] * 2 + [np.zeros((50, 50))], "source 3 is flo"),
        ([np.zeros((50, 50), np.uint8), np.zeros((50, 51), np.uint8)], "same size"),
        ([np.zeros((43, 50), np.uint8)] * 2, "source 1 is 43x50: expected at least 44"),
    ],
)
def test_what_cannot_be_scored_is_refused(sources, message):
    with pytest.raises(UserError, match=message):
        mef_ssim(sources, np.zeros((50, 50), np.uint8))
