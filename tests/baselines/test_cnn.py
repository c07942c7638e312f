"""The CNN baseline: golden images, weights in every layout, properties, bad input."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from densefuse_tf.baselines import cnn
from densefuse_tf.baselines import cnn_network
from densefuse_tf.errors import UserError


@pytest.fixture(scope="module")
def given(shared):
    """The method with the weights of ../shared."""
    return cnn.CNN(checkpoint=str(shared / "methods/CNN/weights.npz"))


@pytest.fixture(scope="module")
def tensors():
    """Random tensors of the network's shapes, always the same."""
    random = np.random.default_rng(0)
    return {
        name: random.standard_normal(shape, np.float32)
        for name, shape in cnn_network.SHAPES.items()
    }


def _matlab(tensors):
    """The tensors in the layout of the authors' small .mat file."""

    def weights(kernel):
        return kernel.transpose(2, 1, 0, 3).reshape(
            kernel.shape[2], -1, kernel.shape[3]
        )

    arrays = {"weights_output": weights(tensors["score/kernel"])}
    for number in (1, 2, 3):
        arrays[f"weights_b1_{number}"] = weights(tensors[f"conv{number}/kernel"])
        arrays[f"biases_b1_{number}"] = tensors[f"conv{number}/bias"][:, None]
    arrays["weights_b1_1"] = arrays["weights_b1_1"][0]
    return arrays


def test_the_shipped_weights_take_each_pixel_from_the_sharp_image():
    random = np.random.default_rng(0)
    sharp = ndimage.gaussian_filter(random.uniform(0, 255, (96, 120)), 0.7)
    sharp = np.rint(sharp).astype(np.uint8)
    blurred = ndimage.gaussian_filter(sharp.astype(float), 2.0)
    blurred = np.rint(blurred).astype(np.uint8)
    left = np.arange(120) < 60
    first, second = np.where(left, sharp, blurred), np.where(left, blurred, sharp)
    focus, decisions = cnn.CNN().decide(first, second)
    assert focus.shape == decisions.shape == first.shape
    away = np.abs(np.arange(120) - 60) > 8
    assert (decisions == left)[:, away].all()
    fused = cnn.CNN().fuse(first, second)
    assert np.abs(fused[:, away].astype(int) - sharp[:, away]).mean() < 2


def test_weights_of_the_small_matlab_file(tensors):
    arrays = _matlab(tensors) | {"biases_output": np.zeros((2, 1), np.float32)}
    for name, tensor in cnn_network.from_matlab("cnnmodel.mat", arrays).items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_the_two_layers_of_the_multi_focus_file_are_multiplied(tensors):
    random = np.random.default_rng(1)
    feature = random.standard_normal((512, 64, 256), np.float32)
    output = random.standard_normal((256, 1, 2), np.float32)
    read = cnn_network.from_matlab(
        "cnnmodel.mat",
        _matlab(tensors) | {"weights_feature": feature, "weights_output": output},
    )
    np.testing.assert_array_equal(read["conv3/kernel"], tensors["conv3/kernel"])
    kernel = read["score/kernel"]
    assert kernel.shape == (8, 8, 512, 2)
    for row, column, channel, k in ((0, 0, 0, 0), (3, 5, 17, 1), (7, 2, 511, 0)):
        expected = sum(
            float(feature[channel, 8 * column + row, m]) * float(output[m, 0, k])
            for m in range(256)
        )
        assert kernel[row, column, channel, k] == pytest.approx(expected, rel=1e-5)


def test_written_weights_are_read_as_they_were(tmp_path, tensors):
    path = tmp_path / "cnn.npz"
    cnn_network.write_weights(path, tensors)
    read = cnn_network.read_weights(path)
    assert read.keys() == cnn_network.SHAPES.keys()
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("shape", [(16, 16), (15, 21), (23, 30)])
def test_focus_map_is_the_mean_over_all_blocks_of_a_pixel(shape):
    height, width = (math.ceil(side / 2) - 7 for side in shape)
    scores = np.random.default_rng(0).standard_normal((height, width, 2))
    sums, counts = np.zeros(shape), np.zeros(shape)
    for y, x in itertools.product(range(height), range(width)):
        s1, s2 = np.exp(scores[y, x])
        block = np.s_[2 * y : 2 * y + 16, 2 * x : 2 * x + 16]
        sums[block] += 1 - s1 / (s1 + s2)
        counts[block] += 1
    np.testing.assert_allclose(
        cnn.focus_map(scores, shape), sums / counts, rtol=0, atol=1e-12
    )


def test_focus_map_takes_scores_beyond_the_range_of_exp():
    scores = np.array([[[2000.0, 0.0]]])
    assert not cnn.focus_map(scores, (16, 16)).any()
    assert (cnn.focus_map(-scores, (16, 16)) == 1).all()


def test_regions_of_exactly_the_least_size_stay():
    decisions = np.zeros((12, 12), bool)
    decisions[1:3, 1:3] = True
    decisions[3, 3] = True  # Touches at a corner: five pixels together.
    decisions[8, 5:9] = True
    kept = cnn.remove_small_regions(decisions, 5)
    expected = decisions.copy()
    expected[8] = False
    np.testing.assert_array_equal(kept, expected)
    # Holes are filled in the same way, after that.
    np.testing.assert_array_equal(cnn.remove_small_regions(~decisions, 5), ~expected)


def test_the_second_image_wins_a_tie_and_small_regions_are_a_hundredth(monkeypatch):
    method, asked = cnn.CNN(), []
    # In place of the network: no difference anywhere.
    vars(method)["_scores"] = lambda first, second: np.zeros((1, 43, 44, 2))
    monkeypatch.setattr(
        cnn, "remove_small_regions", lambda d, least: asked.append(least) or d
    )
    pair = np.random.default_rng(0).integers(256, size=(2, 99, 101), dtype=np.uint8)
    focus, decisions = method.decide(*pair)
    assert (focus == 0.5).all() and not decisions.any()
    assert asked == [math.ceil(99.99)]


def test_guided_filter_equals_its_formula():
    random = np.random.default_rng(0)
    image, guide = random.uniform(size=(2, 13, 17))

    def mean(values):
        result = np.empty_like(values)
        for y, x in itertools.product(*map(range, values.shape)):
            window = values[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
            result[y, x] = window.mean()
        return result

    a = (mean(guide * image) - mean(guide) * mean(image)) / (
        mean(guide * guide) - mean(guide) ** 2 + 0.1
    )
    b = mean(image) - a * mean(guide)
    np.testing.assert_allclose(
        cnn.guided_filter(image, guide, 3, 0.1), mean(a) * guide + mean(b), atol=1e-12
    )


def test_equal_images_are_returned_as_they_are(tno, given):
    _, vis = tno(8)
    vis = vis[:40, :51]
    np.testing.assert_array_equal(given.fuse(vis, vis), vis)


def test_fuse_refuses_an_impossible_region_ratio():
    pair = np.random.default_rng(0).integers(256, size=(2, 20, 20), dtype=np.uint8)
    with pytest.raises(UserError, match="region_ratio of method cnn is 1.5"):
        cnn.CNN(region_ratio=1.5).fuse(*pair)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv2/bias": None}, "holds no conv2/bias"),
        (
            {"conv2/bias": np.zeros(3)},
            r"conv2/bias has shape \(3,\): expected \(128,\)",
        ),
        ({"conv2/bias": np.full(128, np.nan)}, "conv2/bias holds NaN or infinity"),
        ({"conv2/bias": np.zeros(128, int)}, "conv2/bias is int64: expected floats"),
        ({"other": np.zeros(3)}, "other does not belong to weights of the CNN"),
    ],
)
def test_read_weights_refuses_those_of_another_network(
    tmp_path, tensors, change, message
):
    path = tmp_path / "weights.npz"
    arrays = {k: v for k, v in (tensors | change).items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        cnn_network.read_weights(path)


def test_weights_of_a_matlab_file_with_another_shape_are_refused(tensors):
    arrays = _matlab(tensors) | {"weights_b1_2": np.zeros((64, 9, 3))}
    with pytest.raises(UserError, match=r"weights_b1_2 has shape \(64, 9, 3\)"):
        cnn_network.from_matlab("cnnmodel.mat", arrays)


def test_read_weights_refuses_what_is_no_file_of_weights(tmp_path, put):
    for path, message in (
        (tmp_path / "none.npz", "no such file"),
        (tmp_path, "is a folder"),
        (put(b"PK\x03\x04 no archive", "cut.npz"), "cannot be read as weights"),
        (put(b"anything at all" * 20, "cut.mat"), "cannot be read as weights"),
        (put(b"", "empty.npz"), "cannot be read as weights"),
    ):
        with pytest.raises(UserError, match=message):
            cnn_network.read_weights(path)


def test_write_weights_refuses_another_suffix(tmp_path, tensors):
    with pytest.raises(UserError, match="saved as .npz"):
        cnn_network.write_weights(tmp_path / "cnn.mat", tensors)
