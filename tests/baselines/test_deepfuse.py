"""The DeepFuse baseline: images, and an output that cannot be stretched."""

import numpy as np
import pytest

from densefuse_tf.baselines.deepfuse import DeepFuse
from densefuse_tf.errors import UserError
from densefuse_tf.model import deepfuse


@pytest.fixture
def pair():
    return np.random.default_rng(0).integers(256, size=(2, 12, 17), dtype=np.uint8)


def test_raw_is_the_decoded_sum_of_the_feature_maps(untrained_deepfuse, pair):
    path, model = untrained_deepfuse
    inputs = pair[..., None].astype(np.float32)
    maps = np.asarray(model.get_layer("encoder")(inputs))
    expected = model.get_layer("decoder")(maps.sum(axis=0, keepdims=True))
    raw = DeepFuse(checkpoint=str(path)).raw(*pair)
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, expected[0, ..., 0], rtol=1e-5, atol=1e-3)


def test_fused_images_span_all_grey_levels(untrained_deepfuse, pair):
    fused = DeepFuse(checkpoint=str(untrained_deepfuse[0])).fuse(*pair)
    assert fused.dtype == np.uint8 and fused.shape == (12, 17)
    assert (fused.min(), fused.max()) == (0, 255)


def test_a_constant_output_cannot_be_stretched(tmp_path, pair):
    model = deepfuse.autoencoder()
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    path = tmp_path / "zeros.keras"
    model.save(path)
    with pytest.raises(UserError, match="one value in every pixel"):
        DeepFuse(checkpoint=str(path)).fuse(*pair)
