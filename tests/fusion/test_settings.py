"""The settings of a fusion."""

import dataclasses

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.fusion.settings import preset_values


def test_every_field_has_a_default_and_a_description():
    for field in dataclasses.fields(FusionSettings):
        assert field.default is not dataclasses.MISSING
        assert field.metadata["help"].endswith(".")


def test_the_defaults_are_those_of_the_paper():
    default = FusionSettings()
    assert (default.checkpoint, default.strategy) == ("1e2", "addition")
    assert (default.window_radius, default.num_sources) == (1, 2)
    assert (default.output_range, default.color) == ("minmax", "auto")
    assert (default.precision, default.memory_budget) == ("float32", 1.0)


def test_a_preset_is_the_defaults_but_for_some():
    assert preset_values("paper") == {}
    camera = {"strategy": "l1_norm", "color": "luma"}
    assert preset_values("camera") == camera
    for preset, values in (("paper", {}), ("camera", camera)):
        of_video = {**values, "output_range": "average"}
        assert preset_values(preset, is_video=True) == of_video


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_range": "max"}, "output_range is 'max': expected one of minmax, ave"),
        ({"color": "red"}, "color is 'red': expected one of auto, gray, rgb, luma"),
        ({"precision": "int8"}, "precision is 'int8': expected one of float32, bfloat"),
        ({"memory_budget": -1}, "memory_budget is -1: expected GB of memory, or 0 for"),
        ({"memory_budget": None}, "memory_budget is None: expected a number"),
        ({"memory_budget": "2"}, "memory_budget is '2': expected a number"),
        ({"window_radius": 1.5}, "window_radius is 1.5: expected a whole number"),
        ({"num_sources": 2.0}, "num_sources is 2.0: expected a whole number"),
        ({"memory_budget": float("nan")}, "memory_budget is nan: expected GB of mem"),
        ({"memory_budget": float("inf")}, "memory_budget is inf: expected GB of mem"),
    ],
)
def test_settings_refuse_unknown_values(settings, message):
    with pytest.raises(UserError) as caught:
        FusionSettings(**settings)
    assert message in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    settings = FusionSettings(
        num_sources=np.int64(3), memory_budget=np.float32(2), window_radius=np.uint8(2)
    )
    assert settings == FusionSettings(num_sources=3, memory_budget=2, window_radius=2)
