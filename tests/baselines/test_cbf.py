"""Tests of densefuse_tf.baselines.cbf."""

import numpy as np
import pytest

from densefuse_tf.baselines.cbf import CBF
from densefuse_tf.errors import UserError


def naive_cbf(ir, vis, *, spatial=1.8, tonal=25.0, radius=5, small=2):
    def filtered(image, guide):
        image, guide = (np.pad(i / 1.0, radius, mode="reflect") for i in (image, guide))
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        nearness = np.exp(-(x**2 + y**2) / (2 * spatial**2))
        result = np.empty(ir.shape)
        for i, j in np.ndindex(*ir.shape):
            window = np.s_[i : i + 2 * radius + 1, j : j + 2 * radius + 1]
            difference = guide[window] - guide[i + radius, j + radius]
            weights = nearness * np.exp(-(difference**2) / (2 * tonal**2))
            result[i, j] = (weights * image[window]).sum() / weights.sum()
        return result

    def weight(detail):
        detail = np.pad(detail, small, mode="reflect")
        result = np.empty(ir.shape)
        for i, j in np.ndindex(*ir.shape):
            window = detail[i : i + 2 * small + 1, j : j + 2 * small + 1]
            result[i, j] = sum(
                np.linalg.eigvalsh(np.cov(window, rowvar=rowvar)).sum()
                for rowvar in (False, True)
            )
        return result

    weight_ir = weight(ir - filtered(ir, vis))
    weight_vis = weight(vis - filtered(vis, ir))
    return (ir * weight_ir + vis * weight_vis) / (weight_ir + weight_vis)


@pytest.mark.parametrize("shape", [(35, 22), (16, 23), (6, 17)])
def test_it_equals_straight_loops_with_eigenvalues(shape, scene):
    pair = scene(*shape)
    np.testing.assert_allclose(CBF().raw(*pair), naive_cbf(*pair), atol=1e-9)


def test_its_options_are_those_of_the_formulas(scene):
    pair = scene(19, 23)
    method = CBF(spatial_sigma=3, range_sigma=9, radius=2, covariance_radius=3)
    expected = naive_cbf(*pair, spatial=3, tonal=9, radius=2, small=3)
    np.testing.assert_allclose(method.raw(*pair), expected, atol=1e-9)


def test_the_sources_can_be_exchanged(scene):
    ir, vis = scene(24, 33)
    np.testing.assert_allclose(CBF().raw(ir, vis), CBF().raw(vis, ir), atol=1e-12)


def test_fused_values_lie_between_those_of_the_sources(scene):
    ir, vis = scene(24, 33)
    fused = CBF().raw(ir, vis)
    assert (fused >= np.minimum(ir, vis) - 1e-9).all()
    assert (fused <= np.maximum(ir, vis) + 1e-9).all()


def test_saturated_parts_take_the_other_image(scene):
    _, vis = scene(40, 60)
    ir = np.full_like(vis, 255)
    assert (CBF().fuse(ir, vis) == vis).all()


def test_parts_where_both_images_are_flat_are_averaged(scene):
    ir, vis = (image.copy() for image in scene(40, 60))
    ir[:, 20:], vis[:, 20:] = 0, 110
    # The windows of filter and weight reach 7 pixels into it.
    assert (CBF().raw(ir, vis)[:, 27:] == 55).all()


def test_a_weight_of_exactly_0_counts_as_eps():
    ir, vis = np.full((25, 25), 200, np.uint8), np.zeros((25, 25), np.uint8)
    vis[12, 12] = 1
    # The window of 5x5 around (5, 5) has one detail, of the pixel (7, 7), whose window
    # of 11x11 ends at the one that is not black. Among four zeros its variance is a
    # fifth of its square, in its row and in its column.
    spatial = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.8**2))
    detail = spatial[0] ** 2 / spatial.sum() ** 2
    weight_ir, weight_vis = 2.0**-52, 2 * detail**2 / 5
    expected = 200 * weight_ir / (weight_ir + weight_vis)
    assert expected > 1e-4
    assert CBF().raw(ir, vis)[5, 5] == pytest.approx(expected, rel=1e-9)


def test_halves_are_rounded_up():
    ir, vis = np.full((2, 9, 8), [[[10]], [[11]]], np.uint8)
    assert (CBF().fuse(ir, vis) == 11).all()


def test_the_least_size_grows_with_the_windows():
    image = np.zeros((8, 8), np.uint8)
    with pytest.raises(UserError, match="cbf expects at least 9x9"):
        CBF(radius=8).fuse(image, image)
    with pytest.raises(UserError, match="cbf expects at least 11x11"):
        CBF(covariance_radius=10).fuse(image, image)
