"""Wrong input, for every metric."""

import inspect

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.metrics import METRICS

FUNCTIONS = {metric.function.__name__: metric.function for metric in METRICS.values()}
FUNCTIONS["evaluate"] = metrics.evaluate
TWO_SOURCES = sorted(
    name
    for name, function in FUNCTIONS.items()
    if function.images == ("ir", "vis", "fused")
)


@pytest.fixture(params=sorted(FUNCTIONS))
def metric(request):
    return FUNCTIONS[request.param]


@pytest.fixture
def images(metric, pair):
    """What the metric takes: a pair and its fused image, or that one alone."""
    return pair[-len(metric.images) :]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((48, 61), np.float32), "is float32: expected uint8"),
        (np.zeros((48, 61, 3), np.uint8), r"has shape \[48, 61, 3\]: .*\[H, W\]"),
        (np.zeros((2, 48, 61), np.uint8), r"has shape \[2, 48, 61\]"),
        (np.zeros(48, np.uint8), r"has shape \[48\]"),
        (np.uint8(7), r"has shape \[\]"),
        (np.zeros((0, 5), np.uint8), "is 0x5: expected at least"),
        (None, "is a NoneType: expected one array"),
        ("fused.png", "is a str: expected one array"),
        ([[1], []], "is a list of 2: .* two source images"),
    ],
)
def test_what_is_no_grey_8_bit_image_is_refused(metric, images, wrong, message):
    for place, name in enumerate(metric.images):
        changed = [*images[:place], wrong, *images[place + 1 :]]
        with pytest.raises(UserError, match=f"^{name} {message}"):
            metric(*changed)


def test_too_many_images_are_refused(metric, images):
    with pytest.raises(
        UserError, match=f"got {len(images) + 1} images: .* defined for"
    ):
        metric(*images, images[-1])


@pytest.mark.parametrize("name", TWO_SOURCES)
def test_different_sizes_are_refused(name, pair):
    pair[2] = pair[2][:, :-1]
    with pytest.raises(
        UserError, match=r"ir is 48x61, vis is 48x61, fused is 48x60: .* same size"
    ):
        FUNCTIONS[name](*pair)


@pytest.mark.parametrize(
    ("names", "smallest"),
    [
        (("qabf", "scd", "ssim_a", "mi", "cc", "mse", "rmse", "sd"), 1),
        (("nabf", "sf", "ag"), 2),
        (("fmi",), 3),
        (("ssim",), 11),
        (("vif",), 41),
        (("ms_ssim", "evaluate"), 44),
    ],
)
def test_the_smallest_size_is_the_documented_one(names, smallest):
    for name in names:
        metric = FUNCTIONS[name]
        images = [np.zeros((smallest, smallest), np.uint8)] * len(metric.images)
        values = metric(*images)
        assert np.isfinite(
            list(values.values()) if name == "evaluate" else values
        ).all()
        images = [image[:, 1:] for image in images]
        with pytest.raises(UserError, match=f"at least {smallest}x{smallest} pixels"):
            metric(*images)


def test_missing_and_doubled_arguments_are_pythons_own_errors(metric, images):
    with pytest.raises(TypeError, match="missing a required argument: 'fused'"):
        metric(*images[:-1])
    with pytest.raises(TypeError, match="multiple values for argument 'fused'"):
        metric(*images, fused=images[-1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'window'"):
        metric(*images, window=7)


def test_images_are_left_alone_and_may_have_any_layout(metric, images):
    value = metric(*images)
    scattered = [np.asfortranarray(image)[::-1][::-1] for image in images]
    for image in scattered:
        image.flags.writeable = False
    assert metric(*scattered) == pytest.approx(value)
    assert all(map(np.array_equal, scattered, images))


def test_signature_and_documentation_show_through(metric):
    parameters = tuple(inspect.signature(metric).parameters)
    assert parameters[: len(metric.images)] == metric.images
    for part in ("[H, W] uint8", "Returns:", "Raises:", "UserError"):
        assert part in metric.__doc__


def test_every_metric_takes_every_convention_and_no_other(metric, images):
    assert inspect.signature(metric).parameters["convention"].default == "intended"
    for convention in metrics.CONVENTIONS:
        assert type(metric(*images, convention=convention)) in (float, dict)
    for convention in ("Toolkit", None, 1):
        with pytest.raises(
            UserError, match=r'^convention is .*: expected one of "intended", "toolkit"'
        ):
            metric(*images, convention=convention)
