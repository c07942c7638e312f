"""The losses of Eq. 1-3, each with one value per image.

A new loss is a function here and a Term of a recipe in `settings`, which names it.

The paper defines L_p and L_ssim for an output O and an input I. Over a batch they are
averaged: the result then depends neither on the batch size nor on how a batch is
split over devices. The mean squared error of the release is the same either way.
"""

from collections.abc import Callable

import tensorflow as tf

from densefuse_tf.training.settings import Term

DYNAMIC_RANGE = 255.0
# Gaussian window of both SSIM forms.
_WINDOW_SIZE = 11
_SIGMA = 1.5
_K2 = 0.03


def euclidean(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Computes the pixel loss of the paper, Eq. 2: L_p = ||O - I||_2.

    Args:
      images: I, [batch, H, W, 1] float32 in 0..255.
      outputs: O, same shape.

    Returns:
      [batch]; its gradient is 0, not NaN, where O equals I.
    """
    squares = tf.reduce_sum(tf.square(outputs - images), axis=[1, 2, 3])
    positive = squares > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, 1.0)), 0.0)


def mean_squared(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Computes the pixel loss of the release, the mean squared error of an image."""
    return tf.reduce_mean(tf.square(outputs - images), axis=[1, 2, 3])


def full_ssim(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Computes the SSIM of the paper on a dynamic range of 255.

    Args:
      images: [batch, H, W, 1] float32 in 0..255, H and W at least 11.
      outputs: Same shape.

    Returns:
      [batch], at most 1.

    References:
      Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment:
      From error visibility to structural similarity. IEEE TIP 13(4), 2004.
      https://doi.org/10.1109/TIP.2003.819861
    """
    return tf.image.ssim(images, outputs, max_val=DYNAMIC_RANGE)


def contrast_structure_ssim(
    images: tf.Tensor, outputs: tf.Tensor, dynamic_range: float = 1.0
) -> tf.Tensor:
    """Computes SSIM as the release does: (2 s12 + C2) / (s1 + s2 + C2).

    It has no luminance term, C2 = (0.03 * dynamic range)^2, an 11x11 Gaussian window
    with sigma 1.5, and no window over the border. A variance taken as E[x^2] - E[x]^2
    in float32 is off by about 1e-2 for pixels in 0..255, more than the C2 of the
    release, and the denominator could pass through 0. Here the moments are float64 and
    no variance is below 0, so that the denominator is never below C2.

    Args:
      images: As `full_ssim` takes them.
      outputs: Same shape.
      dynamic_range: The release has 1, although pixels are 0..255.

    Returns:
      [batch] float32.
    """
    first = tf.cast(images, tf.float64)
    second = tf.cast(outputs, tf.float64)
    mean1, mean2 = _window_mean(first), _window_mean(second)
    variance1 = tf.maximum(_window_mean(first * first) - mean1 * mean1, 0.0)
    variance2 = tf.maximum(_window_mean(second * second) - mean2 * mean2, 0.0)
    covariance = _window_mean(first * second) - mean1 * mean2
    c2 = (_K2 * dynamic_range) ** 2
    index = (2 * covariance + c2) / (variance1 + variance2 + c2)
    return tf.cast(tf.reduce_mean(index, axis=[1, 2, 3]), tf.float32)


def _window_mean(images: tf.Tensor) -> tf.Tensor:
    """Computes the Gaussian mean of each 11x11 window, along columns, then rows."""
    offsets = tf.range(_WINDOW_SIZE, dtype=images.dtype) - _WINDOW_SIZE // 2
    weights = tf.exp(-tf.square(offsets) / (2 * _SIGMA**2))
    weights /= tf.reduce_sum(weights)
    along_columns = tf.nn.conv2d(images, weights[:, None, None, None], 1, "VALID")
    return tf.nn.conv2d(along_columns, weights[None, :, None, None], 1, "VALID")


def full_ssim_loss(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Computes L_ssim = 1 - SSIM of the paper, Eq. 3."""
    return 1.0 - full_ssim(images, outputs)


def contrast_structure_loss(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Computes L_ssim without the luminance term, on a dynamic range of 255."""
    return 1.0 - contrast_structure_ssim(images, outputs, DYNAMIC_RANGE)


def contrast_structure_of_1_loss(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Computes L_ssim of the release, on a dynamic range of 1."""
    return 1.0 - contrast_structure_ssim(images, outputs)


def of(term: Term) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the function from images and outputs to the losses of a term, [batch]."""
    return globals()[term.loss]
