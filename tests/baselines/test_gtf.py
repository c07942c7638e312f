"""Tests of densefuse_tf.baselines.gtf."""

import numpy as np
import pytest
from scipy import sparse

from densefuse_tf.baselines import gtf
from densefuse_tf.baselines.gtf import GTF
from densefuse_tf.errors import UserError


def differences(height, width):
    """Dx and Dy for images of this size as matrices [HW, HW]."""

    def one(size):
        last = np.append(np.full(size - 1, -1.0), 0)
        return sparse.diags_array([last, np.ones(size - 1)], offsets=[0, 1])

    eyes = sparse.eye_array(height), sparse.eye_array(width)
    across, down = sparse.kron(eyes[0], one(width)), sparse.kron(one(height), eyes[1])
    return across.tocsr(), down.tocsr()


def threshold(values, share, nonzero):
    centers = [
        values.min() + m * (values.max() - values.min()) / 999 for m in range(1000)
    ]
    count = 0
    for m, center in enumerate(centers):
        edge = (center + centers[m + 1]) / 2 if m < 999 else np.inf
        count = (values <= edge).sum()
        if count / len(values) > share:
            return center if nonzero and center > 0 else centers[m + 1]
    raise AssertionError


def naive_gtf(ir, vis, weight, iterations):
    dx, dy = differences(*ir.shape)
    s = ((ir / 255) - (vis / 255)).ravel()
    u = s
    for k in range(iterations):
        if k == 0:
            w = np.full(len(s), 2 * np.sqrt(0.1))
        else:
            a = np.abs(u - s)
            w = np.sqrt(0.5) * np.sqrt(np.maximum(a, threshold(a, 0.05, False)))
        a = (dx @ u) ** 2 + (dy @ u) ** 2
        r = 2 / np.sqrt(np.maximum(a, threshold(a, 0.01, True)))

        def apply(v, w=w, r=r):
            across, down = (d.T @ (r * (d @ (w * v))) for d in (dx, dy))
            return v + weight * w * (across + down)

        b, v = s / w, u / w
        residual = b - apply(v)
        tolerance = np.linalg.norm(residual) / np.linalg.norm(b) / 5
        bound = min(tolerance, 1 - 2.0**-52) * np.linalg.norm(b)
        p = residual
        while np.linalg.norm(residual) > bound:
            image = apply(p)
            step = (residual @ residual) / (p @ image)
            v = v + step * p
            new = residual - step * image
            p = new + (new @ new) / (residual @ residual) * p
            residual = new
        u = w * v
    return u.reshape(ir.shape) + vis / 255


@pytest.mark.parametrize("weight", [4, 0.3])
@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_it_equals_the_formulas_with_matrices(weight, iterations, scene):
    pair = scene(17, 20)
    raw = GTF(weight, iterations).raw(*pair)
    expected = naive_gtf(*pair, weight, iterations)
    np.testing.assert_allclose(raw, expected, atol=1e-7)


def test_it_equals_the_formulas_where_few_gradients_are_small():
    """In noise, as not in photographs, a hundredth of the pixels fills some bins."""
    pair = np.random.default_rng(1).integers(256, size=(2, 17, 20), dtype=np.uint8)
    raw = GTF(4, 2).raw(*pair)
    np.testing.assert_allclose(raw, naive_gtf(*pair, 4, 2), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("choose", "nonzero"), [("next", False), ("nonzero", True)])
@pytest.mark.parametrize("low", [0.0, 0.5])
def test_a_value_on_an_edge_of_the_histogram_belongs_to_the_lower_bin(
    choose, nonzero, low
):
    # The centers are 0 to 999, and more than the share lies between two of them.
    values = np.array([0, *[low, 41.5] * 20, *range(60, 110), 999.0])
    for share in (0.01, 0.3):
        found = gtf._threshold(values, share=share, choose=choose)
        assert found == threshold(values, share, nonzero)


@pytest.mark.parametrize("seed", range(3))
def test_the_residual_of_a_solution_is_computed_and_no_estimate(seed):
    """That of the recurrence has drifted away from it where the start is far off."""
    random = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(random.normal(size=(150, 150)))
    matrix = (axes * np.geomspace(1, 1e3, 150)) @ axes.T
    right = random.normal(size=150)
    solution = gtf._solve(matrix, right, 1e13 * random.normal(size=150))
    assert np.linalg.norm(right - matrix @ solution) <= np.linalg.norm(right)


def total(fused, ir, vis, weight):
    """The function that is minimized."""
    u = fused - vis / 255
    s = ir / 255 - vis / 255
    gradient = np.zeros((2, *u.shape))
    gradient[0, :, :-1] = np.diff(u, axis=1)
    gradient[1, :-1] = np.diff(u, axis=0)
    return np.abs(u - s).sum() + weight * np.hypot(*gradient).sum()


@pytest.mark.parametrize("weight", [1, 4])
def test_it_lowers_the_functional(weight, scene):
    pair = scene(40, 50)
    values = [total(GTF(weight, n).raw(*pair), *pair, weight) for n in (1, 3, 5)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < total(pair[0] / 255, *pair, weight)


def test_joint_channels_share_the_root_of_their_gradients(scene):
    ir, vis = scene(17, 20)
    colored = [np.stack([image] * 3, axis=2) for image in (ir, vis)]
    # The root of three equal gradients is sqrt(3) times that of one.
    joint = GTF(4 * 3**0.5, channels="joint").raw(*colored)
    expected = GTF(4).raw(ir, vis)
    np.testing.assert_allclose(joint, np.stack([expected] * 3, axis=2), atol=1e-6)


def test_a_channel_changes_the_others_where_they_are_joint(scene):
    ir, vis = (np.stack([image] * 3, axis=2) for image in scene(17, 20))
    other = vis.copy()
    other[:, :, 0] = 128
    one, two = (GTF(channels="joint").fuse(ir, each)[:, :, 1:] for each in (vis, other))
    assert (one != two).any()


def test_joint_channels_of_a_grey_pair_are_one(scene):
    ir, vis = scene(30, 40)
    fused = GTF(channels="joint").fuse(ir, vis)
    np.testing.assert_array_equal(fused, GTF().fuse(ir, vis))
    with pytest.raises(
        UserError, match=r"\[30, 40, 3\]: gtf expects \[height, width\]$"
    ):
        GTF().fuse(*[np.stack([ir] * 3, axis=2)] * 2)


def test_a_tiny_lambda_keeps_the_infrared_image(scene):
    ir, vis = scene(30, 40)
    for weight in (1e-9, 1e-30):
        assert (GTF(weight).fuse(ir, vis) == ir).all()


def test_images_of_equal_gradients_give_the_infrared_image(scene):
    _, vis = scene(30, 40)
    ir = vis + np.uint8(15)
    assert (GTF().fuse(ir, vis) == ir).all()
