import numpy as np
import pytest

from densefuse_tf.metrics.sensitivity import filtered
from densefuse_tf.metrics.sensitivity import radial_frequencies
from densefuse_tf.metrics.sensitivity import stretched


def freqspace(n):
    """MATLAB's freqspace(n), from its documentation."""
    if n % 2:
        return np.arange(-(n - 1) / 2, (n - 1) / 2 + 1) * 2 / n
    return np.arange(-n / 2, n / 2) / (n / 2)


def naive_filtered(image, sensitivity, unit, of=None):
    """Filters as MATLAB code does: the whole plane, its zero in the middle.

    Args:
      image: [H, W].
      sensitivity: A function of r = hypot(u W / unit, v H / unit).
      unit: The pixels of the image that are 2 cycles per degree.
      of: [H, W] of the image that r is about; by default that of this one.
    """
    u, v = np.meshgrid(*map(freqspace, reversed(image.shape)))
    height, width = of or image.shape
    factors = sensitivity(np.hypot(u * width / unit, v * height / unit))
    spectrum = np.fft.fftshift(np.fft.fft2(image)) * factors
    return np.real(np.fft.ifft2(np.fft.ifftshift(spectrum)))


@pytest.mark.parametrize("shape", [(8, 10), (7, 9), (6, 9), (7, 4), (1, 1)])
def test_the_plane_is_matlabs(shape):
    image = np.random.default_rng(1).integers(0, 256, shape).astype(float)

    def sensitivity(r):
        return np.exp(-r) * (1 + r)

    r = radial_frequencies(*shape) / 4
    expected = naive_filtered(image, sensitivity, 8)
    np.testing.assert_allclose(
        filtered(image, sensitivity(r)), expected, rtol=0, atol=1e-11
    )


def test_frequencies_count_cycles_per_image():
    r = radial_frequencies(6, 5)
    assert r.shape == (6, 3)
    assert r[0].tolist() == [0, 1, 2]
    assert r[:, 0].tolist() == [0, 1, 2, 3, 2, 1]
    assert r[1, 1] == pytest.approx(np.sqrt(2))


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
