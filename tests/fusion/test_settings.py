"""The settings of a fusion."""

import dataclasses
import subprocess
import sys

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
        ({"tile_size": 1}, "tile_size is 1: expected 0 for no tiles, or at least 2"),
        ({"tile_size": -512}, "tile_size is -512: expected 0"),
    ],
)
def test_settings_refuse_unknown_values(settings, message):
    with pytest.raises(UserError) as caught:
        FusionSettings(**settings)
    assert message in str(caught.value)


def test_settings_need_no_tensorflow():
    code = (
        "import sys; from densefuse_tf.fusion import settings; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
