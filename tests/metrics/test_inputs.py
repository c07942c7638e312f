"""Wrong input, for every metric."""

import inspect

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError

NAMES = sorted(set(metrics.__all__) - {"entropy"})


@pytest.fixture(params=NAMES)
def metric(request):
    return getattr(metrics, request.param)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_wrong_dtype(metric, pair, place):
    pair[place] = pair[place].astype(np.float32)
    name = ("ir", "vis", "fused")[place]
    with pytest.raises(UserError, match=f"^{name} is float32: expected uint8"):
        metric(*pair)


@pytest.mark.parametrize("shape", [(48, 61, 3), (2, 48, 61), (48,), ()])
def test_wrong_shape(metric, pair, shape):
    pair[1] = np.zeros(shape, np.uint8)
    with pytest.raises(UserError, match=r"^vis has shape \[.*\[H, W\].* two source"):
        metric(*pair)


def test_different_sizes(metric, pair):
    pair[2] = pair[2][:, :-1]
    with pytest.raises(
        UserError, match=r"ir is 48x61, vis is 48x61, fused is 48x60: .* same size"
    ):
        metric(*pair)


def test_more_than_two_sources(metric, pair):
    ir, vis, fused = pair
    with pytest.raises(
        UserError, match="got 4 images: the metrics are defined for two"
    ):
        metric(ir, vis, vis, fused)
    with pytest.raises(UserError, match=r"ir is a list of 3: .* for two source"):
        metric([ir, vis, vis], vis, fused)
    with pytest.raises(UserError, match=r"ir is a tuple of 3: .* for two source"):
        metric((ir, vis, vis), fused)
    with pytest.raises(UserError, match=r"ir is a list of 3: .* for two source"):
        metric(fused=fused, ir=[ir, vis, vis], vis=vis)


@pytest.mark.parametrize(
    ("no_array", "what"),
    [(None, "NoneType"), ("ir.png", "str"), ([[1], []], "list of")],
)
def test_no_array(metric, pair, no_array, what):
    with pytest.raises(UserError, match=f"^ir is a {what}.*: expected one array"):
        metric(no_array, *pair[1:])


def test_empty(metric):
    nothing = np.zeros((0, 5), np.uint8)
    with pytest.raises(UserError, match="ir is 0x5: expected at least"):
        metric(nothing, nothing, nothing)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("fmi", 3), ("nabf", 2), ("ms_ssim", 44), ("evaluate", 44)]
    + [(name, 1) for name in ("qabf", "scd", "ssim_a", "mutual_information")],
)
def test_smallest_size(name, smallest):
    metric = getattr(metrics, name)
    images = [np.zeros((smallest, smallest), np.uint8)] * 3
    values = metric(*images)
    assert np.all(np.isfinite(list(values.values()) if name == "evaluate" else values))
    images = [np.zeros((smallest, smallest - 1), np.uint8)] * 3
    with pytest.raises(UserError, match=f"expected at least {smallest}x{smallest} pix"):
        metric(*images)


def test_missing_and_doubled_arguments_are_pythons_own_errors(metric, pair):
    with pytest.raises(TypeError, match="missing a required argument: 'fused'"):
        metric(*pair[:2])
    with pytest.raises(TypeError, match="multiple values for argument 'ir'"):
        metric(*pair, ir=pair[0])
    with pytest.raises(TypeError, match="unexpected keyword argument 'window'"):
        metric(*pair, window=7)


def test_images_are_left_alone(metric, pair):
    before = [image.copy() for image in pair]
    for image in pair:
        image.flags.writeable = False
    metric(*pair)
    assert all(map(np.array_equal, before, pair))


def test_layout_in_memory_does_not_matter(metric, pair):
    scattered = [np.asfortranarray(image)[::-1][::-1] for image in pair]
    assert metric(*scattered) == metric(*pair)


def test_signature_and_documentation_show_through(metric):
    assert list(inspect.signature(metric).parameters)[:3] == ["ir", "vis", "fused"]
    for part in ("[H, W] uint8", "Returns:", "Raises:", "UserError"):
        assert part in metric.__doc__
