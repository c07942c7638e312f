"""Tests of densefuse_tf.baselines.method."""

import dataclasses
import importlib
import pathlib
from typing import Literal, Optional

import numpy as np
import pytest

from densefuse_tf import baselines
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods


@pytest.fixture
def register(monkeypatch):
    """The decorator `method` with an empty register, until the test ends."""
    # The package's attribute `method` is the decorator.
    module = importlib.import_module("densefuse_tf.baselines.method")
    monkeypatch.setattr(module, "_METHODS", {})
    return baselines.method


@pytest.fixture
def mean(register):
    @register("mean")
    @dataclasses.dataclass(frozen=True)
    class Mean:
        """Averages the two images with a weight.

        More of it.
        """

        weight: float = 0.5
        lambda_: int = 1
        exact: bool = False
        border: Literal["nearest", "mirror"] = "nearest"
        table: pathlib.Path | None = None
        # What older code has for the same.
        name: Optional[str] = None  # noqa: UP045

        def fuse(self, ir, vis):
            baselines.check_pair(ir, vis, method="mean", min_side=2)
            return baselines.matlab_uint8(self.weight * ir + (1 - self.weight) * vis)

    return Mean


def test_a_decorated_class_is_registered(register, mean):
    assert baselines.get("mean") is mean
    assert baselines.create("mean") == mean()
    assert methods.summary("mean") == "Averages the two images with a weight."
    register("abs")(dataclasses.make_dataclass("Abs", []))
    assert baselines.names() == ("abs", "mean")


def test_a_taken_name_is_refused(register, mean):
    other = dataclasses.make_dataclass("Other", [])
    with pytest.raises(ValueError, match="'mean' is registered already"):
        register("mean")(other)
    assert baselines.get("mean") is mean


def test_a_class_that_is_defined_again_takes_its_own_place(register):
    def cell():
        @register("again")
        @dataclasses.dataclass(frozen=True)
        class Again:
            pass

        return Again

    first, second = cell(), cell()
    assert first is not second
    assert baselines.get("again") is second


def test_a_class_that_is_no_dataclass_is_refused(register):
    with pytest.raises(TypeError, match="Plain is no dataclass"):

        @register("plain")
        class Plain:
            pass

    with pytest.raises(TypeError, match=r"Unnamed'> is no name: expected @method.NAME"):

        @register
        class Unnamed:
            pass


def test_an_unknown_method_is_refused_with_those_there_are(mean):
    with pytest.raises(UserError, match="unknown method 'means': expected one of mean"):
        baselines.create("means")


def test_text_becomes_the_type_of_the_field(mean):
    options = {
        "weight": "0.25",
        "lambda": "3",
        "exact": "True",
        "border": "mirror",
        "table": "a/b.npy",
        "name": "None",
    }
    assert baselines.create("mean", options) == mean(
        weight=0.25,
        lambda_=3,
        exact=True,
        border="mirror",
        table=pathlib.Path("a/b.npy"),
        name="None",
    )


def test_values_that_are_not_text_are_taken_as_they_are(mean):
    options = {"weight": 1.0, "table": None, "exact": True}
    assert baselines.create("mean", options) == mean(weight=1.0, exact=True)


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("weight", "half", "a number"),
        ("lambda", "1.5", "a whole number"),
        ("exact", "yes", "true or false"),
        ("border", "wrap", "one of nearest, mirror"),
    ],
)
def test_text_of_another_type_is_refused(mean, option, text, expected):
    message = f"option {option} of method mean is {text!r}: expected {expected}"
    with pytest.raises(UserError, match=f"^{message}$"):
        baselines.create("mean", {option: text})


def test_an_unknown_option_is_refused_with_those_there_are(register, mean):
    with pytest.raises(
        UserError, match="no option 'wait': expected one of weight, lambda, exact"
    ):
        baselines.create("mean", {"wait": "1"})
    register("none")(dataclasses.make_dataclass("Nothing", []))
    with pytest.raises(UserError, match="method none has no option 'a': it has none"):
        baselines.create("none", {"a": "1"})


def test_a_missing_option_without_default_is_named(register):
    register("needs")(
        dataclasses.make_dataclass("Needs", [("first", str), ("second", int)])
    )
    with pytest.raises(UserError, match="method needs needs the option 'second'"):
        baselines.create("needs", {"first": "a"})


def test_the_example_of_a_method_fuses(mean):
    ir, vis = np.full((2, 3), 10, np.uint8), np.full((2, 3), 15, np.uint8)
    fused = baselines.create("mean").fuse(ir, vis)
    assert fused.dtype == np.uint8
    assert (fused == 13).all()


IMAGE = np.zeros((4, 5), np.uint8)


@pytest.mark.parametrize(
    ("ir", "vis", "message"),
    [
        (IMAGE[0], IMAGE, "ir is an array of shape [5]: m expects [height, width]"),
        (IMAGE, IMAGE[None], "vis is an array of shape [1, 4, 5]: m expects [height"),
        (IMAGE.tolist(), IMAGE, "ir is an array of shape []: m expects [height, wi"),
        (IMAGE, IMAGE / 1, "vis has float64 values: m expects uint8"),
        (IMAGE.astype(np.uint16), IMAGE, "ir has uint16 values: m expects uint8"),
        (IMAGE, IMAGE[:, :4], "ir is 4x5 and vis is 4x4: the source images of a pair"),
        (IMAGE.T, IMAGE.T, "the images are 5x4: m expects at least 5x5"),
    ],
)
def test_check_pair_says_what_it_found_and_expected(ir, vis, message):
    with pytest.raises(UserError) as raised:
        baselines.check_pair(ir, vis, method="m", min_side=5)
    assert str(raised.value).startswith(message)


def test_check_pair_takes_colour_where_the_method_does():
    color = np.stack([IMAGE] * 3, axis=2)
    baselines.check_pair(color, color, method="m", min_side=4, takes_color=True)
    for pair, message in (
        ((color, IMAGE), "ir is 4x5x3 and vis is 4x5: the source images of a pair"),
        (
            (IMAGE, color[..., :2]),
            r"\[4, 5, 2\]: m expects \[height, width\], or with 3",
        ),
    ):
        with pytest.raises(UserError, match=message):
            baselines.check_pair(*pair, method="m", takes_color=True)


def test_check_pair_takes_the_least_size():
    baselines.check_pair(IMAGE, IMAGE, method="m", min_side=4)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_check_positive_takes_only_what_is_above_zero(value):
    baselines.check_positive("m", radius=1, lambda_=1e-9)
    message = f"option lambda of method m is {value}: expected a finite number above 0"
    with pytest.raises(UserError, match=message):
        baselines.check_positive("m", radius=1, lambda_=value)


def test_to_uint8_rounds_halves_up_and_saturates():
    values = np.array([[-7, -0.5, 0.49, 0.5, 1.5], [2.5, 254.4, 254.5, 255.5, 1e9]])
    rounded = baselines.matlab_uint8(values)
    assert rounded.dtype == np.uint8
    assert rounded.tolist() == [[0, 0, 0, 1, 2], [3, 254, 255, 255, 255]]
