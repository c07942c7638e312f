import numpy as np
import pytest

from densefuse_tf.metrics.levels import stretched


def test_halves_are_rounded_up_and_the_ends_are_0_and_255():
    image = np.array([[7, 8, 9]], np.uint8)
    # The middle is at 127.5; NumPy's own rounding would do the same, but not at 0.5.
    assert stretched(image).tolist() == [[0, 128, 255]]
    # One level of 102 is 2.5 wide: 2.5, 5, 7.5 become 3, 5, 8.
    image = np.array([[0, 1, 2, 3, 102]], np.uint8)
    assert stretched(image).tolist() == [[0, 3, 5, 8, 255]]


@pytest.mark.parametrize("level", [0, 9, 255])
def test_a_constant_image_becomes_black(level):
    assert not stretched(np.full((2, 3), level, np.uint8)).any()


def test_the_whole_range_stays_as_it_is():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(stretched(image), image)
