"""Trains the network of the CNN baseline on photographs, sharp and blurred.

A photograph is blurred several times over with a Gaussian of standard deviation 2,
cut to 7x7 pixels: the first blurred version is made of the photograph, the second of
the first, and so on. At random places a patch of 16x16 pixels is taken from the
photograph and from a blurred version. The network, given (sharp, blurred), has to say
that the first is in focus, and given (blurred, sharp), that the second is. The loss is
the cross-entropy of the two classes; stochastic gradient descent with momentum 0.9 and
weight decay 5e-4 starts from Xavier's initialisation, and its learning rate falls to a
tenth twice.

References:
  Y. Liu, X. Chen, H. Peng, Z. Wang: Multi-focus image fusion with a deep convolutional
  neural network. Information Fusion 36, 2017, section 3.2.
  https://doi.org/10.1016/j.inffus.2016.12.001

Notes:
  The paper's network has a linear layer of 256 units before the two scores. Here the
  scores follow the maps at once, as the two layers amount to. The paper takes a million
  pairs of patches from 50,000 photographs of ImageNet; here their number is a setting.
  Both orders of a pair are in the same batch, so that the branch sees each patch once.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tqdm
from absl import logging
from scipy import ndimage

from densefuse_tf.baselines import cnn_network
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting

_BLOCK = cnn_network.BLOCK
_SIGMA = 2.0
# Half of the 7x7 pixels to which the Gaussian is cut.
_BLUR_RADIUS = 3
_MOMENTUM = 0.9
_WEIGHT_DECAY = 5e-4
# Iterations whose mean loss makes a line of the log.
_LOG_EVERY = 100
# The parts of a run after which the learning rate falls, and to which share.
_LEARNING_RATES = ((0.6, 1.0), (0.85, 0.1), (1.0, 0.01))


@explained
@dataclasses.dataclass(frozen=True)
class CnnTrainingSettings:
    """Everything that decides a training run.

    The command makes its flags of the fields.
    """

    iterations: int = setting(1000, "Length of the run.")
    batch_size: int = setting(
        64, "Pairs of patches in a step, each of which is shown in both orders."
    )
    learning_rate: float = setting(
        0.01, "Rate of the first part of the run; it falls to a tenth twice."
    )
    levels: int = setting(5, "Blurred versions of each photograph.")
    patches_per_level: int = setting(
        20, "Pairs of patches from a photograph and each of its blurred versions."
    )
    min_variance: float = setting(
        25.0,
        "Least variance of a sharp patch, in grey levels squared; in a patch of one "
        "grey there is nothing to tell.",
    )
    num_val_photographs: int = setting(
        10, "Photographs held out of train_dir to validate on."
    )
    seed: int = setting(0, "Decides the patches, their order and the initial kernels.")

    def check(self) -> None:
        """Raises a UserError for a value that no run can have."""
        for name in (
            "iterations",
            "batch_size",
            "levels",
            "patches_per_level",
            "num_val_photographs",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: expected 1 or more")
        for name in ("learning_rate", "min_variance", "seed"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f"{name} is {getattr(self, name)}: expected 0 or more")


def blurred_versions(photograph: np.ndarray, levels: int) -> list[np.ndarray]:
    """Blurs a photograph several times over.

    Args:
      photograph: [H, W] uint8.
      levels: How many versions.

    Returns:
      Versions [H, W] uint8, each more blurred than the one before.
    """
    versions = []
    version = photograph.astype(np.float32)
    for _ in range(levels):
        version = ndimage.gaussian_filter(version, _SIGMA, radius=_BLUR_RADIUS)
        versions.append(pixels.to_uint8(version))
    return versions


def sample_patches(
    photograph: np.ndarray, settings: CnnTrainingSettings, random: np.random.Generator
) -> np.ndarray:
    """Takes pairs of patches from a photograph and its blurred versions.

    Args:
      photograph: [H, W] uint8.
      settings: How many, and of which variance.
      random: Decides where.

    Returns:
      [n, 2, 16, 16] uint8, sharp and blurred; n is at most levels * patches_per_level,
      less where patches have too little variance.
    """
    if min(photograph.shape) < _BLOCK:
        return np.empty((0, 2, _BLOCK, _BLOCK), np.uint8)
    pairs = []
    for version in blurred_versions(photograph, settings.levels):
        tops, lefts = (
            random.integers(side - _BLOCK + 1, size=settings.patches_per_level)
            for side in photograph.shape
        )
        for top, left in zip(tops, lefts, strict=True):
            place = np.s_[top : top + _BLOCK, left : left + _BLOCK]
            if photograph[place].var() >= settings.min_variance:
                pairs.append((photograph[place], version[place]))
    return np.array(pairs, np.uint8).reshape(-1, 2, _BLOCK, _BLOCK)


def train(
    photographs: Sequence[str | os.PathLike], settings: CnnTrainingSettings
) -> tuple[dict[str, np.ndarray], float]:
    """Trains the network.

    Progress is shown on standard error where somebody watches, and logged.

    Args:
      photographs: Image files; what cannot be read is logged and left out.
      settings: The run.

    Returns:
      The weights, as `cnn_network.write_weights` takes them, and the share of the
      validation pairs, each in both orders, that they tell rightly.

    Raises:
      UserError: Impossible settings, or too few photographs.
    """
    settings.check()
    import keras

    random = np.random.default_rng(settings.seed)
    order = random.permutation(len(photographs))
    held_out = settings.num_val_photographs
    if len(photographs) <= held_out:
        raise UserError(
            f"{len(photographs)} photographs given: expected more than the {held_out} "
            "held out to validate on"
        )
    validation = _pairs([photographs[i] for i in order[:held_out]], settings, random)
    training = _pairs([photographs[i] for i in order[held_out:]], settings, random)
    for pairs, what in ((training, "train"), (validation, "validate")):
        if not len(pairs):
            raise UserError(
                f"the photographs to {what} on have no patch of {_BLOCK}x"
                f"{_BLOCK} pixels with a variance of {settings.min_variance:g}"
            )
    logging.info(
        "%d pairs of patches to train on, %d to validate on",
        len(training),
        len(validation),
    )
    keras.utils.set_random_seed(settings.seed)
    network = cnn_network.network()
    model = _both_orders(network)
    boundaries = [int(part * settings.iterations) for part, _ in _LEARNING_RATES[:-1]]
    rates = [share * settings.learning_rate for _, share in _LEARNING_RATES]
    model.compile(
        keras.optimizers.SGD(
            keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates),
            momentum=_MOMENTUM,
            weight_decay=_WEIGHT_DECAY,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    _fit(model, training, settings, random)
    _, accuracy = model.evaluate(
        *_examples(validation), batch_size=settings.batch_size, verbose=0
    )
    weights = {
        name: np.asarray(variable)
        for name, variable in cnn_network.variables(network).items()
    }
    return weights, float(accuracy)


def _pairs(
    photographs: Sequence[str | os.PathLike],
    settings: CnnTrainingSettings,
    random: np.random.Generator,
) -> np.ndarray:
    """Samples the patches of all photographs that can be read."""
    sampled = [np.empty((0, 2, _BLOCK, _BLOCK), np.uint8)]
    for path in photographs:
        try:
            image = images.read(path)
        except UserError as error:
            logging.warning("left out: %s", error)
            continue
        gray = pixels.as_bytes(pixels.gray(image))
        sampled.append(sample_patches(gray, settings, random))
    return np.concatenate(sampled)


def _both_orders(network):
    """Returns a model from (sharp, blurred) to the scores of both orders.

    Its output is [batch, 2, 1, 2]: the first row of (sharp, blurred), whose class is 1,
    "the first image is in focus", the second of (blurred, sharp), whose class is 0.
    """
    import keras

    side = _BLOCK
    patches = [keras.Input((side, side, 1), name=name) for name in ("sharp", "blurred")]
    branch, score = network.get_layer("branch"), network.get_layer("score")
    sharp, blurred = (branch(patch) for patch in patches)
    scores = [
        score(keras.layers.Concatenate()(maps))
        for maps in ([sharp, blurred], [blurred, sharp])
    ]
    return keras.Model(patches, keras.layers.Concatenate(axis=1)(scores))


def _examples(pairs: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Returns pairs of patches as inputs and classes of `_both_orders`."""
    patches = [pairs[:, i, :, :, None].astype(np.float32) / 255 for i in range(2)]
    return patches, np.tile(np.array([1, 0])[:, None], (len(pairs), 1, 1))


def _fit(model, pairs: np.ndarray, settings: CnnTrainingSettings, random) -> None:
    """Trains; the pairs come in a new order whenever all were used."""
    order = np.empty(0, np.int64)
    logged = []
    for iteration in tqdm.trange(
        1, settings.iterations + 1, unit="it", dynamic_ncols=True, disable=None
    ):
        while len(order) < settings.batch_size:
            order = np.concatenate([order, random.permutation(len(pairs))])
        batch, order = order[: settings.batch_size], order[settings.batch_size :]
        logged.append(model.train_on_batch(*_examples(pairs[batch])))
        if len(logged) == _LOG_EVERY:
            loss, accuracy = np.mean(logged, axis=0)
            logging.info(
                "iteration %d of %d: loss %.4f, %.2f %% of the patches told rightly",
                iteration,
                settings.iterations,
                loss,
                100 * accuracy,
            )
            logged.clear()
