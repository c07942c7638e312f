"""The fusion graph as a Keras model."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import densefuse_tf
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.model import strategies


@strategies.strategy("last_of_the_tests", scales_with_sources=False)
def last(feature_maps):
    return feature_maps[-1]


def sources(count):
    rng = np.random.default_rng(0)
    return list(rng.uniform(0, 255, (count, 1, 17, 13, 1)).astype(np.float32))


@pytest.mark.parametrize(
    ("count", "names"), ((2, ["ir", "vis"]), (3, ["source_1", "source_2", "source_3"]))
)
def test_inputs_have_the_names_of_the_sources(checkpoint, count, names):
    model = densefuse_tf.load_fusion_model(checkpoint, num_sources=count)
    assert [tensor.name for tensor in model.inputs] == names
    assert model.count_params() == 74_193


@pytest.mark.parametrize(
    "arguments",
    (
        {"strategy": "addition", "num_sources": 3},
        {"strategy": "l1_norm"},
        {"strategy": "l1_norm", "window_radius": 0, "num_sources": 4},
        {"strategy": "maximum"},
        {"strategy": "choose_max", "window_radius": 2},
        {"strategy": "l1_norm_softmax", "num_sources": 3},
        {"strategy": "detail_choose_max"},
        {"strategy": "detail_softmax", "num_sources": 3},
        {"strategy": "last_of_the_tests"},
    ),
)
def test_a_saved_graph_loads_in_safe_mode(checkpoint, arguments, tmp_path):
    model = graph.load_fusion_model(checkpoint, **arguments)
    model.save(tmp_path / "fusion.keras")
    loaded = keras.saving.load_model(tmp_path / "fusion.keras", safe_mode=True)
    inputs = sources(arguments.get("num_sources", 2))
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


@pytest.mark.guard
def test_one_import_is_enough_to_load_a_saved_graph(checkpoint, tmp_path):
    path = tmp_path / "fusion.keras"
    model = graph.load_fusion_model(checkpoint, strategy="l1_norm")
    model.save(path)
    inputs = sources(2)
    np.savez(tmp_path / "arrays.npz", ir=inputs[0], vis=inputs[1], fused=model(inputs))
    code = f"""
import keras, numpy as np
import densefuse_tf.fusion.graph
arrays = np.load({str(tmp_path / "arrays.npz")!r})
model = keras.models.load_model({str(path)!r})
fused = model([arrays["ir"], arrays["vis"]])
np.testing.assert_allclose(fused, arrays["fused"], rtol=1e-6)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "median"}, "unknown strategy 'median'"),
        ({"num_sources": 1}, "num_sources is 1: fusion takes 2 or more"),
        ({"window_radius": -1}, "window_radius is -1"),
    ],
)
def test_load_fusion_model_refuses_other_arguments(checkpoint, arguments, message):
    with pytest.raises(UserError) as caught:
        graph.load_fusion_model(checkpoint, **arguments)
    assert message in str(caught.value)
