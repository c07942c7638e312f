"""The names of the package itself."""

import subprocess
import sys

import pytest

import densefuse_tf


@pytest.mark.parametrize("name", densefuse_tf.__all__)
def test_every_listed_name_exists(name):
    assert getattr(densefuse_tf, name) is not None
    assert name in dir(densefuse_tf)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'fused'"):
        _ = densefuse_tf.fused


def test_metrics_and_settings_need_no_tensorflow():
    code = (
        "import sys, densefuse_tf; densefuse_tf.metrics.evaluate; "
        "densefuse_tf.FusionSettings('1e2'); "
        "from densefuse_tf.training import settings; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
