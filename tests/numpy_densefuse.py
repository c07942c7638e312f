"""DenseFuse once more, straight from Table I and Eq. 4-7, in float64 NumPy.

It shares no code with the package: what the tests compare the package with.
"""

import numpy as np


def convolution(maps, kernel, bias, activation=True):
    """3x3 convolution (correlation) of [H, W, C] padded by one reflected pixel."""
    height, width, _ = maps.shape
    padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    total = np.zeros((height, width, kernel.shape[-1])) + bias
    for row in range(3):
        for column in range(3):
            window = padded[row : row + height, column : column + width]
            total += window @ kernel[row, column]
    return np.maximum(total, 0) if activation else total


def encode(weights, image):
    """Feature maps [H, W, 64] of [H, W]; weights are {"C1": (kernel, bias), ...}."""
    maps = convolution(image.astype(np.float64)[:, :, None], *weights["C1"])
    for name in ("DC1", "DC2", "DC3"):
        maps = np.concatenate([convolution(maps, *weights[name]), maps], axis=-1)
    return maps


def decode(weights, maps):
    """[H, W] of the feature maps."""
    for name in ("C2", "C3", "C4"):
        maps = convolution(maps, *weights[name])
    return convolution(maps, *weights["C5"], activation=False)[:, :, 0]


def addition(all_maps, radius=None):
    return sum(all_maps)


def l1_norm(all_maps, radius=1):
    return sum(
        weight[:, :, None] * maps
        for weight, maps in zip(l1_weights(all_maps, radius), all_maps, strict=True)
    )


def l1_weights(all_maps, radius):
    averages = [block_average(np.abs(maps).sum(axis=-1), radius) for maps in all_maps]
    total = sum(averages)
    share = np.full_like(total, 1 / len(all_maps))
    return [np.divide(a, total, out=share.copy(), where=total > 0) for a in averages]


def block_average(activity, radius):
    """Mean over the block of (2r + 1)^2 pixels, cut at the border."""
    averaged = np.empty_like(activity)
    for row, column in np.ndindex(activity.shape):
        top, left = max(row - radius, 0), max(column - radius, 0)
        block = activity[top : row + radius + 1, left : column + radius + 1]
        averaged[row, column] = block.mean()
    return averaged


def fuse(weights, sources, strategy, radius=1):
    """The decoder's output [H, W] for k sources [H, W]."""
    maps = strategy([encode(weights, source) for source in sources], radius)
    return decode(weights, maps)


def weights_of(model):
    """The weights of an autoencoder as the functions above take them."""
    from densefuse_tf.model import network

    layers = {
        name: network.convolution_layer(model, name) for name in network.CONVOLUTIONS
    }
    return {
        name: (layer.kernel.numpy().astype(np.float64), layer.bias.numpy())
        for name, layer in layers.items()
    }
