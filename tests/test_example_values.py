"""Results on the example pairs against the values that independent code gave for them.

example_values.py says which code, and computes them again.
"""

import json

import example_values
import numpy as np
import pytest

from densefuse_tf import baselines
from densefuse_tf import lambdas
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.metrics import METRICS

VALUES = json.loads(example_values.FILE.read_text())
# The largest differences from values in double precision where they are more than those
# of the other methods. DeepFuse computes in single precision, and conjugate gradients
# amplify the rounding of GTF.
TOLERANCES = {"deepfuse": 1e-3, "gtf": 1e-3}

every_pair = pytest.mark.parametrize("name", example_values.NAMES)


@pytest.mark.parametrize(
    "name", ["hut", pytest.param("street", marks=pytest.mark.guard)]
)
@pytest.mark.parametrize("strategy", example_values.STRATEGIES)
@pytest.mark.parametrize("checkpoint", example_values.CHECKPOINTS)
def test_raw_output_of_the_shipped_models(checkpoint, strategy, name):
    fuser = Fuser(FusionSettings(checkpoint, strategy=strategy))
    raw = fuser.fuse(example_values.read(name)).raw
    expected = VALUES[f"{name} densefuse {checkpoint} {strategy}"]
    # 255 is white; single precision and the order of its sums are the difference.
    found = example_values.summary(raw.astype(float))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


@every_pair
@pytest.mark.parametrize("method", baselines.names())
def test_results_of_the_methods(name, method, tmp_path, monkeypatch):
    options, part = {}, example_values.PART
    if method.startswith("jsr"):
        part = example_values.SMALL_PART
        options["dictionary"] = str(tmp_path / "cosines.npy")
        np.save(options["dictionary"], example_values.cosine_dictionary())
    chosen, pair = baselines.create(method, options), example_values.read(name, part)
    raw = chosen.raw(*pair)
    found = example_values.summary(raw.astype(float))
    tolerance = TOLERANCES.get(method, 2e-6)
    expected = VALUES[f"{name} {method}"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    monkeypatch.setattr(type(chosen), "raw", lambda *_: raw)
    assert (chosen.fuse(*pair) == example_values.eight_bits(method, raw)).all()


@every_pair
def test_values_of_the_metrics(name):
    ir, vis = example_values.read(name, example_values.PART)
    fused = example_values.blended(ir, vis)
    found = {
        f"{key} {convention}".removesuffix(" intended"): metric(
            ir, vis, fused, convention=convention
        )
        for key, metric in METRICS.items()
        for convention in metric.conventions
    }
    # JSON keeps nine digits.
    assert found == pytest.approx(VALUES[f"{name} metrics"], rel=1e-8)


def test_every_checkpoint_is_in_the_values():
    assert example_values.CHECKPOINTS == lambdas.SHORT_NAMES
