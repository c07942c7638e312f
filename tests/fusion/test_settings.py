"""The settings of a fusion."""

import dataclasses

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings


def test_every_field_has_a_default_and_a_description():
    for field in dataclasses.fields(FusionSettings):
        assert field.default is not dataclasses.MISSING
        assert field.metadata["help"].endswith(".")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_range": "max"}, "output_range is 'max': expected one of minmax, ave"),
        ({"color": "red"}, "color is 'red': expected one of auto, gray, rgb, luma"),
        ({"precision": "int8"}, "precision is 'int8': expected one of float32, bfloat"),
        ({"memory_budget": -1}, "memory_budget is -1: expected GB of memory, or 0 for"),
        ({"memory_budget": float("nan")}, "memory_budget is nan: expected GB of mem"),
        ({"memory_budget": float("inf")}, "memory_budget is inf: expected GB of mem"),
    ],
)
def test_settings_refuse_unknown_values(settings, message):
    with pytest.raises(UserError) as caught:
        FusionSettings(**settings)
    assert message in str(caught.value)
