"""The package inside of somebody else's program, with settings of its own."""

import os
import pickle
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import densefuse_tf
from densefuse_tf import startup
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.model import computing
from densefuse_tf.serving import converters

PAIR = list(np.random.default_rng(0).integers(0, 256, (2, 20, 24), np.uint8))
BATCHES = [image[None, ..., None].astype(np.float32) for image in PAIR]


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch):
    """Gives each test a process that has not computed, with Keras's own settings."""
    monkeypatch.setattr(computing, "_process", None)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


def outputs(checkpoint) -> list[np.ndarray]:
    """What each way to fuse makes of a pair."""
    fusion = densefuse_tf.load_fusion_model(checkpoint, strategy="l1_norm")
    complete = converters._complete(fusion, lambda raw: tf.cast(raw, tf.uint8))
    made = complete(BATCHES)
    return [
        fusion(BATCHES).numpy(),
        made["raw"].numpy(),
        densefuse_tf.Fuser(densefuse_tf.FusionSettings(checkpoint)).raw(PAIR),
        *(densefuse_tf.fuse(PAIR, method=name) for name in ("cnn", "deepfuse")),
    ]


@pytest.mark.guard
def test_neither_dtypes_nor_data_formats_of_the_program_change_a_bit(checkpoint):
    expected = outputs(checkpoint)
    for policy in ("mixed_float16", "mixed_bfloat16", "float64"):
        keras.config.set_dtype_policy(policy)
        keras.config.set_floatx("float64" if policy == "float64" else "float32")
        for found, array in zip(outputs(checkpoint), expected, strict=True):
            np.testing.assert_array_equal(found, array)
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_first")
    for found, array in zip(outputs(checkpoint), expected, strict=True):
        np.testing.assert_array_equal(found, array)


def test_another_backend_of_keras_is_one_line(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match="the backend of Keras is jax: expected tensor"):
        startup.require_backend()


def test_a_fork_of_a_process_that_has_fused_says_so(checkpoint):
    fuser = densefuse_tf.Fuser(densefuse_tf.FusionSettings(checkpoint))
    calls = (
        lambda: fuser.fuse(PAIR),
        lambda: densefuse_tf.fuse(PAIR, checkpoint),
        lambda: densefuse_tf.fuse(PAIR, method="cnn"),
        lambda: densefuse_tf.load_autoencoder("1e2"),
    )
    said = 0
    child = os.fork()
    if child == 0:
        # No assertion of pytest's may come back from here, and no wait be for ever.
        signal.alarm(60)
        try:
            for call in calls:
                try:
                    call()
                except UserError as error:
                    said += "is a fork of one in which TensorFlow has" in str(error)
        finally:
            os._exit(said)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(calls)
    assert fuser.fuse(PAIR).image.shape == PAIR[0].shape


def test_a_fuser_is_pickled_by_its_settings(checkpoint):
    settings = densefuse_tf.FusionSettings(checkpoint, strategy="l1_norm")
    fuser = densefuse_tf.Fuser(settings)
    fuser = fuser.with_output(color="rgb", output_range="average")
    copy = pickle.loads(pickle.dumps(fuser))
    assert (copy.color, copy.output_range) == ("rgb", "average")
    np.testing.assert_array_equal(copy.fuse(PAIR).image, fuser.fuse(PAIR).image)
    other = methods.build(methods.settings("deepfuse", color="luma"))
    expected = other.fuse(PAIR).image
    copy = pickle.loads(pickle.dumps(other))
    assert copy.color == "luma"
    np.testing.assert_array_equal(copy.fuse(PAIR).image, expected)


def test_a_graph_and_no_eager_execution_are_one_line(checkpoint):
    fuser = densefuse_tf.Fuser(densefuse_tf.FusionSettings(checkpoint))
    for call in (
        lambda: fuser.fuse(PAIR),
        lambda: densefuse_tf.Fuser(densefuse_tf.FusionSettings(checkpoint)),
        lambda: densefuse_tf.load_fusion_model(checkpoint),
        lambda: densefuse_tf.fuse(PAIR, method="cnn"),
    ):
        with tf.Graph().as_default(), pytest.raises(UserError, match="not compute eag"):
            call()
    assert fuser.fuse(PAIR).image.shape == PAIR[0].shape


@pytest.mark.parametrize("before", [True, False])
def test_tf32_is_switched_while_it_computes_alone(checkpoint, monkeypatch, before):
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    switch = tf.config.experimental.enable_tensor_float_32_execution
    seen = []

    def compute(channels):
        seen.append(enabled())
        raise KeyError

    for precision in ("float32", "tf32"):
        settings = densefuse_tf.FusionSettings(checkpoint, precision=precision)
        fuser = densefuse_tf.Fuser(settings)
        monkeypatch.setattr(fuser, "_fuse_in_bands", compute)
        switch(before)
        with pytest.raises(KeyError):
            fuser.fuse(PAIR)
        assert enabled() == before
    switch(True)
    assert seen == [False, True]


def test_memory_that_runs_out_names_the_budget(checkpoint, monkeypatch):
    fuser = densefuse_tf.Fuser(densefuse_tf.FusionSettings(checkpoint))

    def run_out(channels):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")

    monkeypatch.setattr(fuser, "_fuse_in_bands", run_out)
    with pytest.raises(
        UserError, match="to fuse 20x24 pixels: .* memory_budget than 1"
    ):
        fuser.fuse(PAIR)
