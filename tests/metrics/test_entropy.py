import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from densefuse_tf.metrics._entropy import entropy

from .conftest import quick

images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@pytest.mark.parametrize("level", [0, 7, 255])
def test_constant_image_has_none(level):
    assert entropy(np.full((5, 4), level, np.uint8)) == 0


def test_equally_frequent_levels():
    assert entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == 8
    assert entropy(np.array([[0, 255], [255, 0]], np.uint8)) == 1
    assert entropy(np.array([[0, 0], [0, 9]], np.uint8)) == pytest.approx(
        2 - 0.75 * np.log2(3)
    )


@quick
@given(images, st.randoms(use_true_random=False))
def test_places_and_names_of_levels_do_not_matter(image, random):
    value = entropy(image)
    assert 0 <= value <= 8
    assert entropy(255 - image) == pytest.approx(value, abs=1e-12)
    pixels = image.ravel().tolist()
    random.shuffle(pixels)
    shuffled = np.array(pixels, np.uint8).reshape(image.shape)
    assert entropy(shuffled) == value
