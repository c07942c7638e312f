"""Wrong input, for every metric."""

import inspect

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.metrics import METRICS

FUNCTIONS = {metric.function.__name__: metric.function for metric in METRICS.values()}
TWO_SOURCES = {
    name: function
    for name, function in FUNCTIONS.items()
    if function.images == ("ir", "vis", "fused")
} | {"evaluate": metrics.evaluate}
FUSED_ALONE = {n: f for n, f in FUNCTIONS.items() if n not in TWO_SOURCES}


@pytest.fixture(params=sorted(TWO_SOURCES))
def metric(request):
    return TWO_SOURCES[request.param]


@pytest.fixture(params=sorted(FUSED_ALONE))
def alone(request):
    return FUSED_ALONE[request.param]


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
    [("fmi", 3), ("nabf", 2), ("vif", 41), ("ms_ssim", 44), ("evaluate", 44)]
    + [("ssim", 11)]
    + [(n, 1) for n in ("qabf", "scd", "ssim_a", "mi", "cc", "mse", "rmse")],
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


def test_unknown_convention(metric, pair):
    for convention in ("Toolkit", None, 1):
        with pytest.raises(
            UserError, match=r'^convention is .*: expected one of "intended", "toolkit"'
        ):
            metric(*pair, convention=convention)


def test_every_metric_takes_every_convention(metric, pair):
    assert inspect.signature(metric).parameters["convention"].default == "intended"
    for convention in metrics.CONVENTIONS:
        assert type(metric(*pair, convention=convention)) in (float, dict)
    assert metric(*pair) == metric(*pair, convention="intended")


# Those of the fused image alone.


def test_alone_refuses_wrong_images(alone, pair):
    fused = pair[2]
    with pytest.raises(UserError, match="^fused is float64: expected uint8"):
        alone(fused / 255.0)
    with pytest.raises(UserError, match=r"^fused has shape \[48, 61, 3\]"):
        alone(np.stack([fused] * 3, axis=-1))
    with pytest.raises(UserError, match="^fused is 0x5: expected at least"):
        alone(np.zeros((0, 5), np.uint8))
    with pytest.raises(UserError, match="^fused is a str: expected one array"):
        alone("fused.png")
    with pytest.raises(UserError, match="got 3 images: .* the fused image alone"):
        alone(*pair)
    with pytest.raises(UserError, match="^convention is 'matlab'"):
        alone(fused, convention="matlab")
    with pytest.raises(TypeError, match="missing a required argument: 'fused'"):
        alone()


@pytest.mark.parametrize(("name", "smallest"), [("sd", 1), ("sf", 2), ("ag", 2)])
def test_alone_has_a_smallest_size(name, smallest):
    function = FUSED_ALONE[name]
    assert function(np.zeros((smallest, smallest), np.uint8)) == 0
    with pytest.raises(UserError, match=f"expected at least {smallest}x{smallest} pix"):
        function(np.zeros((smallest, smallest - 1), np.uint8))


def test_alone_leaves_the_image_alone(alone, pair):
    fused = pair[2].copy()
    fused.flags.writeable = False
    value = alone(fused)
    assert np.array_equal(fused, pair[2])
    assert alone(np.asfortranarray(fused)[::-1][::-1]) == pytest.approx(value)
    assert type(value) is float
