"""The inner loop of the feature mutual information, compiled by Numba."""

import math

import numpy as np

from densefuse_tf.compiling import compiled

_CELLS = 9
_STAIRS = 2 * _CELLS - 1
# The published variance E[i^2] - E[i]^2 of an index up to 9 has no digits below this:
# a window that is one spike and rounding has no spread.
_NO_VARIANCE = 1e-13


@compiled
def _equal(one, other, y, x):
    """Tells whether the windows of two images at one place are exactly equal."""
    for column in range(3):
        for row in range(3):
            if one[y + row, x + column] != other[y + row, x + column]:
                return False
    return True


@compiled
def _describe(features, y, x, out):
    """Reads a window, column by column, as a distribution of nine indices.

    Args:
      features: Feature image, [H, W] float64.
      y: First row of the window.
      x: First column of the window.
      out: [5, 27] float64 as window_scores makes it. The middle nine of each row are
        filled: the probabilities, their logarithms to base 2 (0 where the probability
        is 0), their differences from their mean, and their sums from the first on and
        from the last on.

    Returns:
      Whether the window is constant, the mean (counted from the row's beginning) and
      the standard deviation of the index, and the entropy in bits.
    """
    low = high = features[y, x]
    for column in range(3):
        for row in range(3):
            value = features[y + row, x + column]
            low = min(low, value)
            high = max(high, value)
    flat = low == high
    total = 0.0
    for column in range(3):
        for row in range(3):
            # Rescaling to [0, 1] as published would cancel in the shares below.
            value = 1.0 if flat else features[y + row, x + column] - low
            out[0, _CELLS + 3 * column + row] = value
            total += value
    mean = entropy = reached = 0.0
    for index in range(_CELLS, 2 * _CELLS):
        share = out[0, index] / total
        log = math.log2(share) if share > 0.0 else 0.0
        reached += share
        out[0, index] = share
        out[1, index] = log
        out[2, index] = share - 1.0 / _CELLS
        out[3, index] = reached
        mean += index * share
        entropy -= share * log
    variance = reached = 0.0
    for index in range(2 * _CELLS - 1, _CELLS - 1, -1):
        share = out[0, index]
        reached += share
        out[4, index] = reached
        variance += share * (index - mean) ** 2
    sd = math.sqrt(variance) if variance > _NO_VARIANCE else 0.0
    return flat, mean, sd, entropy


@compiled
def _mutual_information(source, facts, target, target_facts, stairs):
    """Computes the mutual information of two windows, neither constant nor one spike.

    The lower Frechet bound of two variables is the upper one of the first and the
    second counted backwards, with the sign of the covariance turned, so one walk up
    both distribution functions serves for both.

    Args:
      source: A window as _describe fills it, [5, 27].
      facts: What _describe returns for it.
      target: The fused image's window, likewise.
      target_facts: Likewise.
      stairs: [3, 17] float64, room to work in.

    Returns:
      H(source) + H(target) - H(source, target).
    """
    _, mean, sd, entropy = facts
    _, target_mean, target_sd, target_entropy = target_facts
    product = squares = target_squares = 0.0
    for index in range(_CELLS, 2 * _CELLS):
        product += source[2, index] * target[2, index]
        squares += source[2, index] ** 2
        target_squares += target[2, index] ** 2
    if product == 0.0:
        return 0.0
    correlation = abs(product) / math.sqrt(squares * target_squares)

    # The bound's mass is on a staircase of 9 + 9 - 1 cells, some of them empty. Each
    # step is along the axis whose distribution function is behind; there is no other
    # branch, because the processor could not foresee it. Of each cell the mass, and
    # the probability and its logarithm if the windows were independent are kept.
    backwards = product < 0.0
    sums = source[4] if backwards else source[3]
    i = 2 * _CELLS - 1 if backwards else _CELLS
    step = -1 if backwards else 1
    j = _CELLS
    covariance = level = 0.0
    for cell in range(_STAIRS):
        behind = sums[i] <= target[3, j]
        upper = min(sums[i], target[3, j])
        mass = upper - level
        level = upper
        stairs[0, cell] = mass
        stairs[1, cell] = source[0, i] * target[0, j]
        stairs[2, cell] = source[1, i] + target[1, j]
        covariance += mass * (i - mean) * (j - target_mean)
        i += step if behind else 0
        j += 0 if behind else 1
    if covariance == 0.0:
        return 0.0
    weight = correlation * sd * target_sd / abs(covariance)

    # Were all 81 cells (1 - weight) p q, this would be their entropy ...
    rest = 1.0 - weight
    log_rest = math.log2(abs(rest)) if rest != 0.0 else 0.0
    joint_entropy = rest * (entropy + target_entropy - log_rest)
    # ... and the cells of the bound have more.
    for cell in range(_STAIRS):
        independent = rest * stairs[1, cell]
        mixed = independent + weight * stairs[0, cell]
        joint_entropy += independent * (log_rest + stairs[2, cell])
        if mixed != 0.0:
            joint_entropy -= mixed * math.log2(abs(mixed))
    return entropy + target_entropy - joint_entropy


@compiled
def window_scores(ir, vis, fused):
    """Averages the score of both sources over the 3x3 windows of each row.

    Args:
      ir: Feature image of the infrared image, [H, W] float64, 3x3 or larger.
      vis: Feature image of the visible image, same size.
      fused: Feature image of the fused image, same size.

    Returns:
      [H - 2] float64; their mean is FMI.
    """
    height, width = fused.shape
    means = np.empty(height - 2)
    # Nine empty places on either side let the walk in _mutual_information run past
    # the end of one distribution while it finishes the other: nothing adds up to 1.
    source = np.zeros((5, 3 * _CELLS))
    source[3:] = 1.0
    target = source.copy()
    stairs = np.empty((3, _STAIRS))
    for y in range(height - 2):
        total = 0.0
        for x in range(width - 2):
            described, target_facts = False, (False, 0.0, 0.0, 0.0)
            for features in (ir, vis):
                if _equal(features, fused, y, x):
                    total += 1.0
                    continue
                if not described:
                    target_facts = _describe(fused, y, x, target)
                    described = True
                facts = _describe(features, y, x, source)
                flat, _, sd, entropy = facts
                target_flat, _, target_sd, target_entropy = target_facts
                if flat or target_flat:
                    if flat and target_flat:
                        total += 1.0
                    continue
                if sd == 0.0 or target_sd == 0.0:
                    continue
                information = _mutual_information(
                    source, facts, target, target_facts, stairs
                )
                total += 2.0 * information / (entropy + target_entropy)
        means[y] = total / (2 * (width - 2))
    return means
