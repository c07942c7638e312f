"""The one tf.data pipeline: photographs -> batches of grey crops in 0..255.

The order of the files depends on the seed and the epoch alone, and every batch says
which part of that order it holds, so that a training can go on exactly where it was.
"""

import collections
import os
import pathlib
import threading
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import finding
from densefuse_tf.io import formats
from densefuse_tf.training.crops import CORRUPT
from densefuse_tf.training.crops import READABLE
from densefuse_tf.training.crops import UNKNOWN
from densefuse_tf.training.crops import CropCache
from densefuse_tf.training.crops import Crops
from densefuse_tf.training.settings import TrainingSettings


def find_photographs(source: str | os.PathLike) -> list[pathlib.Path]:
    """Finds the JPEG, PNG and BMP files of a folder tree or a glob, sorted."""
    # In plain order, not in natural order: runs that were begun depend on it.
    return sorted(
        finding.find(source, suffixes=formats.PHOTOGRAPHS, in_subfolders=True)
    )


def split(settings: TrainingSettings) -> "tuple[Photographs, Photographs]":
    """Finds the photographs of a run: those to train on, and those to validate on.

    Without val_dir, num_val_images photographs that the seed draws from train_dir are
    held out.
    """
    crops = Crops(settings.image_size, settings.resize, settings.random_crop)
    training = find_photographs(settings.train_dir)
    if settings.val_dir is not None:
        validation = find_photographs(settings.val_dir)[: settings.num_val_images]
    else:
        if len(training) <= settings.num_val_images:
            raise UserError(
                f"{settings.train_dir}: has {counted(len(training))}: expected "
                f"more than the {settings.num_val_images} held out to validate on; "
                "lower num_val_images or give val_dir"
            )
        order = np.random.default_rng(settings.seed).permutation(len(training))
        held_out = set(order[: settings.num_val_images].tolist())
        validation = [path for i, path in enumerate(training) if i in held_out]
        training = [path for i, path in enumerate(training) if i not in held_out]
    if len(training) < settings.batch_size:
        raise UserError(
            f"{settings.train_dir}: has {counted(len(training))}: expected at "
            f"least one batch of {settings.batch_size}"
        )
    cache = None
    if settings.cache is not None:
        file = None if settings.cache == "memory" else settings.cache
        cache = CropCache(training, crops, file)
    # Validation always takes whole photographs, so that its crops are the same.
    whole = Crops(settings.image_size, settings.resize)
    return (
        Photographs(training, crops, seed=settings.seed, cache=cache),
        Photographs(validation, whole),
    )


def counted(count: int) -> str:
    """Returns "1 photograph", "2 photographs", and so on."""
    return f"{count} photograph{'' if count == 1 else 's'}"


class Photographs:
    """Makes batches of crops of a list of photographs.

    Attributes:
      paths: The files.
      num_corrupt: How many of them could not be read so far.
      are_gone: Whether training batches ended early, since a whole epoch had none.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        crops: Crops | None = None,
        *,
        seed: int = 0,
        cache: CropCache | None = None,
    ):
        """Remembers the files, in an order that is the same in every run.

        The seed decides the order of training and the random crops.
        """
        self.paths = list(paths)
        self._crops = crops or Crops()
        self._seed = seed
        self._cache = cache
        self.are_gone = False
        self._corrupt: set[int] = set()
        # How many could be read in each epoch of `training_batches`.
        self._num_read: collections.Counter[int] = collections.Counter()
        self._lock = threading.Lock()

    @property
    def num_corrupt(self) -> int:
        return len(self._corrupt)

    def require(self, count: int) -> None:
        """Refuses photographs of which fewer than `count` can be read."""
        readable = 0
        for index in range(len(self.paths)):
            readable += bool(self._load(index, 0)[1])
            if readable >= count:
                return
        raise UserError(
            f"{self.paths[0].parent}: {readable} of {len(self.paths)} photographs can "
            f"be read: expected at least {count}"
        )

    def order(self, epoch: int) -> np.ndarray:
        """Returns the files' order in an epoch, a permutation by seed and epoch."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self.paths))

    def files_between(self, first: int, last: int) -> list[pathlib.Path]:
        """Returns the readable files at these positions of the training order."""
        found = []
        for position in range(first, last + 1):
            epoch, place = divmod(position, len(self.paths))
            index = int(self.order(epoch)[place])
            if index not in self._corrupt:
                found.append(self.paths[index])
        return found

    # AutoGraph, which nothing here needs, writes files that a kill leaves.
    @tf.autograph.experimental.do_not_convert
    def training_batches(
        self,
        batch_size: int,
        *,
        epochs: int | None = None,
        start: int = 0,
        interleaved: bool = False,
    ) -> tf.data.Dataset:
        """Makes shuffled batches without the remainder of each epoch.

        They end after an epoch without any, as where the folder has gone away.

        Args:
          batch_size: Crops in a batch.
          epochs: How many; None goes on for ever.
          start: The position to begin at; 0, or one after the last position of the
            batch that was trained on last.
          interleaved: Mix the photographs of a batch as the release's code did; see
            `settings.Recipe`.

        Returns:
          Batches ([batch, size, size, 1] float32 in 0..255, [batch, 2] int64). The
          second holds, alike in each row, the first and last position of the batch:
          epoch * number of files + place in the order of the epoch.
        """
        count = len(self.paths)
        first_epoch, first_place = divmod(start, count)
        stop = first_epoch + 2**31 if epochs is None else epochs
        self.are_gone = False
        self._num_read.clear()

        def goes_on(epoch):
            # Less than a batch may be left of an epoch that was begun before.
            if epoch > first_epoch + bool(first_place):
                self.are_gone = self._num_read[int(epoch) - 1] < batch_size
            return np.bool_(epoch < stop and not self.are_gone)

        def one_epoch(epoch):
            order = tf.numpy_function(self.order, [epoch], tf.int64, stateful=False)
            order = tf.ensure_shape(order, [count])
            places = tf.range(count, dtype=tf.int64) + epoch * count
            skipped = tf.cast(epoch == first_epoch, tf.int64) * first_place
            elements = tf.data.Dataset.from_tensor_slices((order, places))
            crops = self._read(elements.skip(skipped), self._load_in_epoch)
            return crops.batch(batch_size, drop_remainder=True)

        def finish(crops, places):
            pixels = _interleave(crops) if interleaved else crops
            bounds = tf.stack([places[0], places[-1]])
            return tf.cast(pixels, tf.float32), tf.tile(bounds[None], [batch_size, 1])

        # There is one number more than epochs, so that the last one is looked at, too.
        numbers = tf.data.Dataset.range(first_epoch, stop + 1).take_while(
            lambda epoch: tf.ensure_shape(
                tf.numpy_function(goes_on, [epoch], tf.bool), []
            )
        )
        return _finished(numbers.flat_map(one_epoch).map(finish))

    @tf.autograph.experimental.do_not_convert
    def validation_batches(
        self, batch_size: int, *, limit: int | None = None
    ) -> tf.data.Dataset:
        """Makes batches of the first `limit` files; the last one may be smaller.

        They are made as `training_batches` makes them, with places in `paths` as their
        positions.
        """
        count = len(self.paths) if limit is None else min(limit, len(self.paths))
        indices = tf.data.Dataset.range(count)
        elements = tf.data.Dataset.zip((indices, indices))
        return _finished(
            self._read(elements, self._load)
            .batch(batch_size)
            .map(
                lambda pixels, places: (
                    tf.cast(pixels, tf.float32),
                    tf.stack([places, places], axis=1),
                )
            )
        )

    def _read(self, elements: tf.data.Dataset, load_file) -> tf.data.Dataset:
        """Turns (index, position) into (crop, position), without the corrupt files."""
        size = self._crops.size

        def load(index, position):
            crop, readable = tf.numpy_function(
                load_file, [index, position], [tf.uint8, tf.bool], stateful=False
            )
            crop = tf.ensure_shape(crop, [size, size])[..., None]
            return crop, position, tf.ensure_shape(readable, [])

        return (
            elements.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .filter(lambda crop, position, readable: readable)
            .map(lambda crop, position, readable: (crop, position))
        )

    def _load_in_epoch(self, index: int, position: int) -> tuple[np.ndarray, np.bool_]:
        crop, readable = self._load(index, position)
        with self._lock:
            self._num_read[int(position) // len(self.paths)] += bool(readable)
        return crop, readable

    def _load(self, index: int, position: int) -> tuple[np.ndarray, np.bool_]:
        """Reads a crop; returns whether its file could be read, and logs if not."""
        if self._cache is not None:
            state, crop = self._cache.get(index)
            if state == CORRUPT:
                name = self.paths[index]
                self._skip(index, f"{name}: was not readable when it was cached")
            if state != UNKNOWN:
                return crop, np.bool_(state == READABLE)
        try:
            random = np.random.default_rng([self._seed, position])
            crop = self._crops.read(self.paths[index], random)
            state = READABLE
            self._corrupt.discard(index)
        except UserError as error:
            self._skip(index, str(error))
            crop = np.zeros((self._crops.size, self._crops.size), np.uint8)
            state = CORRUPT if _is_damage(error, self.paths[index]) else UNKNOWN
        if self._cache is not None:
            self._cache.put(index, state, crop)
        return crop, np.bool_(state == READABLE)

    def _skip(self, index: int, reason: str) -> None:
        with self._lock:
            if index in self._corrupt:
                return
            self._corrupt.add(index)
        logging.warning(
            "skipped photograph %d so far: %s",
            len(self._corrupt),
            reason,
        )


def _is_damage(error: UserError, path: pathlib.Path) -> bool:
    """Returns whether a file was read and is damaged, as it will be the next time.

    What could not be opened or read to its end may be there again.
    """
    cause: BaseException | None = error
    while cause is not None:
        # Pillow raises OSErrors without a number for what it finds in a file.
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None):
            return False
        cause = cause.__cause__ or cause.__context__
    return path.is_file()


def _interleave(crops: tf.Tensor) -> tf.Tensor:
    """Lays [batch, H, W, 1] out as the release's first training code did.

    Each photograph was transposed, the batch stacked as [W, H, batch] and then
    reshaped to [batch, W, H, 1].
    """
    stacked = tf.transpose(crops[..., 0], [2, 1, 0])
    batch, height, width = crops.shape[:3]
    return tf.reshape(stacked, [batch, width, height, 1])


def _finished(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # Every worker reads the same order and takes its part of each batch, so that the
    # global batches are those of one worker alone.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
