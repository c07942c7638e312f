"""Tests of densefuse_tf.commands.common_flags."""

import pytest

from densefuse_tf.commands import common_flags
from densefuse_tf.errors import UserError


def test_options_are_sorted_by_method():
    texts = ["gtf.lambda=2.5", "cnn.checkpoint=a.b=c.npz", " gtf.iterations=3"]
    assert common_flags.options_by_method(texts) == {
        "gtf": {"lambda": "2.5", "iterations": "3"},
        "cnn": {"checkpoint": "a.b=c.npz"},
    }
    assert common_flags.options_by_method([]) == {}


@pytest.mark.parametrize("text", ["lambda=2", "gtf.lambda", "gtf.=2", ".lambda=2", ""])
def test_options_without_method_name_or_value_are_refused(text):
    with pytest.raises(UserError, match="expected METHOD.OPTION=VALUE"):
        common_flags.options_by_method([text])


def test_an_option_given_twice_is_refused():
    with pytest.raises(UserError, match="--method_options has gtf.lambda twice"):
        common_flags.options_by_method(["gtf.lambda=2", "gtf.lambda=4"])
