"""The models in checkpoints/: complete, and as good as their card says."""

import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf import lambdas
from densefuse_tf.model import checkpoints
from densefuse_tf.training import folder
from densefuse_tf.training import losses
from densefuse_tf.training import photographs

# The first 1,000 photographs of MS-COCO val2014 served for validation; the others are
# unseen.
NUM_VALIDATED = 1000


@pytest.fixture(params=lambdas.SHORT_NAMES)
def name(request) -> str:
    return request.param


def test_a_shipped_model_comes_with_its_history(name):
    path = checkpoints.locate(name)
    rows = folder.read_history(path.with_name(f"{path.stem}.history.csv"))
    iterations = [row["iteration"] for row in rows]
    assert iterations == list(range(100, iterations[-1] + 1, 100))
    assert iterations[-1] >= 5000


def test_a_shipped_model_reconstructs_unseen_photographs(name, shared, long):
    folder = shared / "train" / "coco_val2014"
    paths = photographs.find_photographs(folder)[NUM_VALIDATED:]
    assert len(paths) == 226
    source = photographs.Photographs(paths)
    model = tf.function(checkpoints.load_autoencoder(name))
    ssims, errors = [], []
    for images, _ in source.validation_batches(2, limit=None if long else 12):
        outputs = model(images)
        ssims.extend(losses.full_ssim(images, outputs).numpy())
        errors.extend(losses.mean_squared(images, outputs).numpy())
    assert source.num_corrupt == 0
    assert np.mean(ssims) >= 0.995
    assert np.mean(errors) < 2.0
